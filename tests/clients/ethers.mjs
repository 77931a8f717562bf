// ethers 6: what a script or a page does with a contract, over HTTP and over a WebSocket.
import assert from "node:assert/strict";
import { ethers } from "ethers";
import { box, chainId, httpUrl, key, websocketUrl } from "./chain.mjs";

const provider = new ethers.JsonRpcProvider(httpUrl, undefined, { pollingInterval: 100 });
const wallet = new ethers.Wallet(key, provider);

assert.equal((await provider.getNetwork()).chainId, chainId);
assert.ok((await provider.getBalance(wallet.address)) > 0n);

// Every fee, the gas and the nonce are left to the library.
const factory = new ethers.ContractFactory(box.abi, box.bytecode, wallet);
const deployed = await factory.deploy(41n);
await deployed.waitForDeployment();
assert.equal(await deployed.value(), 41n);
const code = await provider.getCode(await deployed.getAddress());
assert.ok(code.length > 100);

const sent = await deployed.set(7n, "seven", { value: 5n });
const receipt = await sent.wait();
assert.equal(receipt.status, 1);
assert.equal(await provider.getBalance(deployed), 5n);
const [event] = await deployed.queryFilter(deployed.filters.Changed(wallet.address), receipt.blockNumber);
assert.deepEqual([event.args.by, event.args.value, event.args.note], [wallet.address, 7n, "seven"]);
assert.equal(await deployed.value({ blockTag: receipt.blockNumber - 1 }), 41n);

await assert.rejects(deployed.refuse(), (error) => ethers.isError(error, "CALL_EXCEPTION") && error.reason === "no luck");
await assert.rejects(deployed.odd(), (error) => error.revert?.name === "Odd" && error.revert.args[0] === 7n);
await assert.rejects(deployed.divide(0n), (error) => error.revert?.name === "Panic");
await assert.rejects(deployed.refuse.estimateGas(), (error) => error.reason === "no luck");

const block = await provider.getBlock(receipt.blockNumber, true);
assert.ok(block.prefetchedTransactions.some((transaction) => transaction.hash === sent.hash));
assert.equal((await provider.getTransaction(sent.hash)).from, wallet.address);
assert.ok((await provider.getFeeData()).maxFeePerGas > block.baseFeePerGas);
await assert.rejects(wallet.sendTransaction({ to: wallet.address, nonce: 0 }), (error) => error.code === "NONCE_EXPIRED");

// Events over a WebSocket, from a contract that listens before the transaction is sent.
const socket = new ethers.WebSocketProvider(websocketUrl);
const heard = new Promise((resolve) => {
    new ethers.Contract(deployed.target, box.abi, socket).on("Changed", (by, value, note) => resolve([by, value, note]));
});
const heads = new Promise((resolve) => socket.once("block", resolve));
await (await deployed.set(8n, "eight")).wait();
assert.deepEqual(await heard, [wallet.address, 8n, "eight"]);
assert.ok((await heads) > receipt.blockNumber);
await socket.destroy();
provider.destroy();
console.log(`ethers ${ethers.version}: all passed`);
