// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// Keeps money until a time: the sample of hardhat's own projects, with custom errors.
contract Lock {
    error TooEarly(uint256 unlockTime);
    error NotOwner(address caller);
    event Withdrawal(uint256 amount, uint256 when);

    uint256 public immutable unlockTime;
    address payable public immutable owner;

    constructor(uint256 unlockTime_) payable {
        require(block.timestamp < unlockTime_, "Unlock time should be in the future");
        unlockTime = unlockTime_;
        owner = payable(msg.sender);
    }

    receive() external payable {}

    function withdraw() external {
        if (block.timestamp < unlockTime) revert TooEarly(unlockTime);
        if (msg.sender != owner) revert NotOwner(msg.sender);
        emit Withdrawal(address(this).balance, block.timestamp);
        owner.transfer(address(this).balance);
    }
}
