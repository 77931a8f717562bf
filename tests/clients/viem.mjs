// viem 2: public and wallet actions, batches, events and fees.
import assert from "node:assert/strict";
import { BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, defineChain, http, webSocket } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { box, chainId, httpUrl, key, websocketUrl } from "./chain.mjs";

const chain = defineChain({
    id: Number(chainId),
    name: "Alys",
    nativeCurrency: { name: "Bitcoin", symbol: "BTC", decimals: 18 },
    rpcUrls: { default: { http: [httpUrl], webSocket: [websocketUrl] } },
});
const account = privateKeyToAccount(key);
const reader = createPublicClient({ chain, transport: http(undefined, { batch: true }), pollingInterval: 100 });
const wallet = createWalletClient({ account, chain, transport: http() });

assert.equal(await reader.getChainId(), chain.id);
// One batch: viem sends what is asked in the same turn together.
const [balance, gasPrice, fees, nonce] = await Promise.all([
    reader.getBalance({ address: account.address }),
    reader.getGasPrice(),
    reader.estimateFeesPerGas(),
    reader.getTransactionCount({ address: account.address, blockTag: "pending" }),
]);
assert.ok(balance > 0n && gasPrice > 0n && fees.maxFeePerGas > fees.maxPriorityFeePerGas);

const creation = await wallet.deployContract({ ...box, args: [41n] });
const { contractAddress: address } = await reader.waitForTransactionReceipt({ hash: creation });
assert.equal(await reader.readContract({ ...box, address, functionName: "value" }), 41n);
assert.equal(await reader.getTransactionCount({ address: account.address }), nonce + 1);

// A write as viem's documentation does it: first simulated, then sent. Meanwhile a WebSocket listens.
const listener = createPublicClient({ chain, transport: webSocket() });
const heard = new Promise((resolve, reject) => {
    listener.watchContractEvent({ ...box, address, eventName: "Changed", onLogs: resolve, onError: reject });
});
const heads = new Promise((resolve, reject) => listener.watchBlocks({ onBlock: resolve, onError: reject }));
await heads;  // by now both subscriptions are made
const { request } = await reader.simulateContract({
    ...box, address, account, functionName: "set", args: [7n, "seven"], value: 5n,
});
const hash = await wallet.writeContract(request);
const receipt = await reader.waitForTransactionReceipt({ hash });
assert.equal(receipt.status, "success");
const [log] = await heard;
assert.deepEqual(log.args, { by: account.address, value: 7n, note: "seven" });
assert.equal(log.transactionHash, hash);

const logs = await reader.getContractEvents({
    ...box, address, eventName: "Changed", args: { value: [7n, 8n] }, fromBlock: receipt.blockNumber, toBlock: "latest",
});
assert.deepEqual(logs.map((one) => one.args.note), ["seven"]);
assert.equal(await reader.readContract({ ...box, address, functionName: "value", blockNumber: receipt.blockNumber - 1n }), 41n);
assert.equal(BigInt(await reader.getStorageAt({ address, slot: "0x0" })), 7n);
assert.equal((await reader.getFeeHistory({ blockCount: 2, rewardPercentiles: [50] })).reward.length, 2);

async function reverted(functionName, ...args) {
    try {
        await reader.simulateContract({ ...box, address, account, functionName, args });
    } catch (error) {
        assert.ok(error instanceof BaseError);
        return error.walk((one) => one instanceof ContractFunctionRevertedError);
    }
    return assert.fail(`${functionName} did not revert`);
}
assert.equal((await reverted("refuse")).reason, "no luck");
const odd = (await reverted("odd")).data;
assert.deepEqual([odd.errorName, odd.args], ["Odd", [7n]]);
assert.equal((await reverted("divide", 0n)).data.errorName, "Panic");

// State overrides, which viem passes on.
const value = await reader.readContract({
    ...box, address, functionName: "value",
    stateOverride: [{ address, stateDiff: [{ slot: `0x${"0".repeat(64)}`, value: `0x${"9".padStart(64, "0")}` }] }],
});
assert.equal(value, 9n);
console.log("viem: all passed");
process.exit(0);  // the WebSocket is open
