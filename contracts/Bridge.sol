// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The bridge from Alys back to Bitcoin
/// @notice Stands in the genesis of every chain at 0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB. A user burns value here
/// and the federation pays it out on Bitcoin; the rules are in docs/protocol.md, "Peg-out".
///
/// On a chain without a peg nobody would pay out what is burned, so `requestPegOut` reverts there. The genesis says
/// whether the chain has one, in storage slot 0, which no function changes.
///
/// The value is burned by staying here. The contract takes value in one function, calls nobody, delegates to nobody
/// and has no owner, so nothing can leave it, and its balance is the sum of all that was ever sent to it. The
/// alternative, forwarding to 0x…dEaD, costs each user another call and mixes peg-outs with the fees that gather
/// there. A refused peg-out needs no way back out: the consensus layer mints the refund as a withdrawal.
///
/// Balance is not proof of a peg-out: value can be forced in without a call (a self-destruct, a withdrawal).
/// Only the event is, and only if its log's address is this contract's.
contract Bridge {
    /// @notice The longest address there is: BIP 173 bounds a bech32 string to 90 characters.
    uint256 public constant MAX_ADDRESS_BYTES = 90;

    /// @notice Whether the chain has a peg. Storage slot 0: the genesis sets it to 1 on a chain with a peg.
    bool public pegActive;

    /// @notice A burn to be paid out on Bitcoin.
    /// @param sender who burned, and who is refunded should the peg-out be refused
    /// @param bitcoinAddress the recipient as text (base58 or bech32), in ASCII
    /// @param value what was burned, in wei (1 satoshi = 10^10 wei; what is below a satoshi is not paid out)
    event RequestPegOut(address indexed sender, bytes bitcoinAddress, uint256 value);

    /// @notice This chain has no peg, so nothing is paid out.
    error PegNotActive();

    /// @notice Nothing was sent along, so nothing could be paid out.
    error NoValue();

    /// @notice No Bitcoin address has this many bytes.
    error BadAddressLength(uint256 length);

    /// @notice Burns the value sent along and asks for as much BTC, less the Bitcoin fee, to be paid out.
    /// @dev Whether the address is valid for the chain's Bitcoin network, and the value enough, is for the
    /// consensus layer to judge: a contract could not keep up with new kinds of addresses.
    /// @param bitcoinAddress the recipient as text, 1 to 90 bytes
    function requestPegOut(bytes calldata bitcoinAddress) external payable {
        if (!pegActive) revert PegNotActive();
        if (msg.value == 0) revert NoValue();
        if (bitcoinAddress.length == 0 || bitcoinAddress.length > MAX_ADDRESS_BYTES) {
            revert BadAddressLength(bitcoinAddress.length);
        }
        emit RequestPegOut(msg.sender, bitcoinAddress, msg.value);
    }
}
