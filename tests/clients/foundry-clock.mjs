// foundry against `--dev-clock`: forge deploys and runs a script in blocks that come at once; cast moves the clock.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chainId, httpUrl, key } from "./chain.mjs";
import { cwd, run } from "./foundry-run.mjs";

const wallet = ["--private-key", key];
const cast = (...args) => run("cast", args);
const rpc = (...args) => JSON.parse(cast("rpc", ...args));

const output = run("forge", ["script", "script/Deploy.s.sol:Deploy", "--broadcast", "--slow", "--rpc-url", httpUrl, ...wallet]);
assert.match(output, /ONCHAIN EXECUTION COMPLETE & SUCCESSFUL/);
const broadcast = JSON.parse(readFileSync(new URL(`broadcast/Deploy.s.sol/${chainId}/run-latest.json`, cwd), "utf8"));
const box = broadcast.transactions[0].contractAddress;
assert.equal(cast("call", box, "value()(uint256)"), "7");
assert.equal(cast("block-number"), "2"); // the deployment and the call, and no other block

const snapshot = rpc("evm_snapshot");
const before = Number(cast("block", "latest", "--field", "timestamp"));
rpc("evm_increaseTime", "86400");
rpc("evm_mine");
assert.ok(Number(cast("block", "latest", "--field", "timestamp")) >= before + 86_400);
rpc("anvil_mine", "0x10");
assert.equal(cast("block-number"), "19");

// A transaction of an account whose key nobody has.
const vitalik = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045";
rpc("anvil_setBalance", vitalik, "0xde0b6b3a7640000");
rpc("anvil_impersonateAccount", vitalik);
const receipt = JSON.parse(cast("send", box, "set(uint256,string)", "9", "nine", "--from", vitalik, "--unlocked", "--json"));
assert.equal(receipt.status, "0x1");
assert.equal(receipt.from, vitalik.toLowerCase());
assert.equal(cast("call", box, "value()(uint256)"), "9");

assert.equal(rpc("evm_revert", snapshot), true);
assert.equal(cast("block-number"), "2");
assert.equal(cast("call", box, "value()(uint256)"), "7");
assert.equal(cast("balance", vitalik), "0");
assert.equal(rpc("evm_revert", snapshot), false); // it is used up
console.log("foundry-clock: all passed");
