// web3.js 4: transactions, contracts, logs and subscriptions.
import assert from "node:assert/strict";
import { Web3 } from "web3";
import { box, chainId, httpUrl, key, websocketUrl } from "./chain.mjs";

const web3 = new Web3(httpUrl);
web3.eth.transactionPollingInterval = 100;
const account = web3.eth.accounts.wallet.add(key).get(0);
const from = account.address;

assert.equal(await web3.eth.getChainId(), chainId);
assert.ok((await web3.eth.getBalance(from)) > 0n);
assert.equal(await web3.eth.net.isListening(), true);

const draft = new web3.eth.Contract(box.abi).deploy({ data: box.bytecode, arguments: [41] });
const gas = await draft.estimateGas({ from });
const contract = await draft.send({ from, gas: String(gas) });
const address = contract.options.address;
assert.equal(await contract.methods.value().call(), 41n);

const socket = new Web3(websocketUrl);
const subscription = await socket.eth.subscribe("logs", { address });
const heard = new Promise((resolve) => subscription.on("data", resolve));
const heads = await socket.eth.subscribe("newBlockHeaders");
const head = new Promise((resolve) => heads.on("data", resolve));
const receipt = await contract.methods.set(7, "seven").send({ from, value: "5" });
assert.equal(receipt.status, 1n);
assert.equal((await heard).transactionHash, receipt.transactionHash);
assert.ok((await head).number > 0n);
await subscription.unsubscribe();
await heads.unsubscribe();
socket.provider.disconnect();

assert.equal(await web3.eth.getBalance(address), 5n);
const [event] = await contract.getPastEvents("Changed", { fromBlock: receipt.blockNumber, filter: { value: 7 } });
assert.deepEqual([event.returnValues.by, event.returnValues.value, event.returnValues.note], [from, 7n, "seven"]);
const block = await web3.eth.getBlock(receipt.blockNumber, true);
assert.ok(block.transactions.some((transaction) => transaction.hash === receipt.transactionHash));
assert.equal(BigInt(await web3.eth.getStorageAt(address, 0)), 7n);

await assert.rejects(contract.methods.refuse().call({ from }), (error) => error.cause.message === "execution reverted: no luck");
await assert.rejects(contract.methods.odd().call({ from }), (error) => error.cause.errorName === "Odd" && error.cause.errorArgs.value === 7n);
await assert.rejects(
    web3.eth.sendSignedTransaction((await account.signTransaction({ to: from, nonce: 0, gas: 21000, gasPrice: 10n ** 11n, chainId })).rawTransaction),
    (error) => /nonce too low/.test(error.message),
);
console.log(`web3.js ${Web3.version}: all passed`);
