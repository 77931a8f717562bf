// foundry: forge builds, deploys, runs a script and tests on a fork; cast reads, sends and decodes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chainId, httpUrl, key } from "./chain.mjs";
import { cwd, run } from "./foundry-run.mjs";

const wallet = ["--private-key", key];
const cast = (...args) => run("cast", args);

const created = JSON.parse(run("forge", ["create", "src/Box.sol:Box", "--broadcast", "--json", ...wallet, "--constructor-args", "41"]));
const box = created.deployedTo;
assert.equal(BigInt(cast("chain-id")), chainId);
assert.equal(JSON.parse(cast("receipt", created.transactionHash, "--json")).status, "0x1"); // waits for the block
assert.equal(cast("call", box, "value()(uint256)"), "41");

const from = cast("wallet", "address", ...wallet);
const gas = Number(cast("estimate", "--from", from, box, "set(uint256,string)", "7", "seven", "--value", "5"));
const receipt = JSON.parse(cast("send", box, "set(uint256,string)", "7", "seven", "--value", "5", "--json", ...wallet));
assert.equal(receipt.status, "0x1");
assert.ok(Number(receipt.gasUsed) <= gas);
assert.equal(cast("balance", box), "5");
assert.equal(BigInt(cast("storage", box, "0")), 7n);
const logs = JSON.parse(cast("logs", "Changed(address indexed,uint256 indexed,string)", "--address", box, "--from-block", receipt.blockNumber, "--json"));
assert.deepEqual(logs.map((log) => log.transactionHash), [receipt.transactionHash]);
assert.equal(cast("call", box, "value()(uint256)", "--block", String(Number(receipt.blockNumber) - 1)), "41");
assert.throws(() => cast("call", box, "refuse()"), /execution reverted: no luck/);
assert.throws(() => cast("call", box, "odd()"), /execution reverted, data: "0x922e883a0+7"/);

// The transactions of a script wait for each other only by their nonces.
const output = run("forge", ["script", "script/Deploy.s.sol:Deploy", "--broadcast", "--rpc-url", httpUrl, ...wallet]);
assert.match(output, /ONCHAIN EXECUTION COMPLETE & SUCCESSFUL/);
const broadcast = JSON.parse(readFileSync(new URL(`broadcast/Deploy.s.sol/${chainId}/run-latest.json`, cwd), "utf8"));
assert.equal(cast("call", broadcast.transactions[0].contractAddress, "value()(uint256)"), "7");

const tested = run("forge", ["test", "--fork-url", httpUrl], { BOX: box });
assert.match(tested, /1 tests passed, 0 failed/);
console.log("foundry: all passed");
