// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Box} from "../src/Box.sol";

interface Vm {
    function envAddress(string calldata name) external view returns (address);
    function expectRevert(bytes calldata data) external;
}

/// Runs on a copy of the chain (`forge test --fork-url`), which forge fetches account by account.
contract ForkTest {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function testABoxOfTheChainIsTheSameHere() public {
        Box box = Box(VM.envAddress("BOX"));
        require(box.value() == 7, "forge sees another state");
        require(address(box).balance == 5, "forge sees another balance");
        box.set(8, "only in the copy");
        require(box.value() == 8, "the copy cannot be changed");
        VM.expectRevert(abi.encodeWithSelector(Box.Odd.selector, 7));
        box.odd();
    }
}
