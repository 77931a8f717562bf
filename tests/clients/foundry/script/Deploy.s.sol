// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Box} from "../src/Box.sol";

interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Two transactions, which `forge script --broadcast` simulates, signs and sends.
contract Deploy {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run() external {
        VM.startBroadcast();
        Box box = new Box(41);
        box.set(7, "by a script");
        VM.stopBroadcast();
    }
}
