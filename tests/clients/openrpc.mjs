// The results of every method against the JSON schemas of Ethereum's OpenRPC specification, as MetaMask publishes it.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { ethers } from "ethers";
import { box, httpUrl, key } from "./chain.mjs";

const require = createRequire(import.meta.url);
const specification = require("@metamask/api-specs").MetaMaskOpenRPCDocument;
const Ajv = require("ajv");

// Not of an execution client but of a wallet, or gone from geth too.
const NOT_HERE = new Set(["eth_coinbase", "eth_requestAccounts", "eth_decrypt", "eth_getEncryptionPublicKey", "eth_signTypedData_v4"]);
// The first of hardhat's accounts, with which the node signs.
const HARDHAT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
// Only over a WebSocket.
const WEBSOCKET = new Set(["eth_subscribe", "eth_unsubscribe"]);

const provider = new ethers.JsonRpcProvider(httpUrl, undefined, { pollingInterval: 100, batchMaxCount: 1 });
const wallet = new ethers.Wallet(key, provider);

async function ask(method, params) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    return (await fetch(httpUrl, { method: "POST", body, headers: { "content-type": "application/json" } })).json();
}

// A chain with a contract, a log, and transactions of types 0, 1 and 2.
const contract = await new ethers.ContractFactory(box.abi, box.bytecode, wallet).deploy(41n);
await contract.waitForDeployment();
const to = contract.target;
const nonce = await wallet.getNonce();
const data = contract.interface.encodeFunctionData("set", [7n, "seven"]);
const accessList = [{ address: to, storageKeys: [ethers.ZeroHash] }];
const gasPrice = 10n ** 10n;
const sent = await Promise.all([
    wallet.sendTransaction({ to, data, nonce, type: 0, gasPrice, gasLimit: 200_000 }),
    wallet.sendTransaction({ to, data, nonce: nonce + 1, type: 1, gasPrice, gasLimit: 200_000, accessList }),
    wallet.sendTransaction({ to, data, nonce: nonce + 2, type: 2, gasLimit: 200_000, accessList }),
]);
const receipts = await Promise.all(sent.map((one) => one.wait()));
const { blockHash, blockNumber, index } = receipts[0];
const block = ethers.toQuantity(blockNumber);
const unused = await wallet.signTransaction(await wallet.populateTransaction({ to: wallet.address, value: 1n, nonce: nonce + 3 }));
const logs = { address: to, fromBlock: block, toBlock: "latest" };
const filter = (await ask("eth_newFilter", [logs])).result;

const CALLS = {
    eth_accounts: [[]],
    eth_blockNumber: [[]],
    eth_call: [[{ to, data: contract.interface.encodeFunctionData("value") }, "latest"]],
    eth_chainId: [[]],
    eth_estimateGas: [[{ from: wallet.address, to, data }]],
    eth_feeHistory: [["0x5", "latest", [10, 90]], ["0x5", "latest", []]],
    eth_gasPrice: [[]],
    eth_getBalance: [[wallet.address, "latest"], [ethers.ZeroAddress, "earliest"]],
    eth_getBlockByHash: [[blockHash, false], [blockHash, true], [ethers.ZeroHash, true]],
    eth_getBlockByNumber: [["0x0", true], [block, true], [block, false], ["safe", true], ["finalized", false], ["0xffffff", false]],
    eth_getBlockTransactionCountByHash: [[blockHash], [ethers.ZeroHash]],
    eth_getBlockTransactionCountByNumber: [[block], ["0xffffff"]],
    eth_getCode: [[to, "latest"], [wallet.address, "latest"]],
    eth_getFilterChanges: [[filter]],
    eth_getFilterLogs: [[filter]],
    eth_getLogs: [[logs]],
    eth_getProof: [[to, [ethers.ZeroHash], "latest"]],
    eth_getStorageAt: [[to, "0x0", "latest"]],
    eth_getTransactionByBlockHashAndIndex: [[blockHash, ethers.toQuantity(index)], [blockHash, "0x99"]],
    eth_getTransactionByBlockNumberAndIndex: [[block, ethers.toQuantity(index)]],
    eth_getTransactionByHash: [...sent.map((one) => [one.hash]), [contract.deploymentTransaction().hash], [ethers.ZeroHash]],
    eth_getTransactionCount: [[wallet.address, "latest"], [wallet.address, "pending"]],
    eth_getTransactionReceipt: [...sent.map((one) => [one.hash]), [contract.deploymentTransaction().hash], [ethers.ZeroHash]],
    eth_getUncleCountByBlockHash: [[blockHash], [ethers.ZeroHash]],
    eth_getUncleCountByBlockNumber: [[block], ["0xffffff"]],
    eth_newBlockFilter: [[]],
    eth_newFilter: [[logs]],
    eth_newPendingTransactionFilter: [[]],
    eth_sendRawTransaction: [[unused]],
    eth_sendTransaction: [[{ from: HARDHAT, to: wallet.address, value: "0x1" }]],
    eth_syncing: [[]],
    eth_uninstallFilter: [[filter]],
};

// Two corrections: logs have had a time since 2025, and an empty list is one of logs and of hashes at the same time.
const { Log, FilterResults } = specification.components.schemas;
Log.properties.blockTimestamp = { $ref: "#/components/schemas/uint" };
FilterResults.anyOf = FilterResults.oneOf;
delete FilterResults.oneOf;

const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema({ $id: "specification", components: specification.components });
const validators = new Map(
    specification.methods.map(({ name, result }) => {
        const schema = JSON.stringify(result.schema ?? {}).replaceAll('"#/components', '"specification#/components');
        return [name, ajv.compile(JSON.parse(schema))];
    }),
);
// A validator that accepts everything would show nothing.
assert.ok(!validators.get("eth_blockNumber")(5) && !validators.get("eth_getBlockByNumber")({ number: "0x1" }));

const failures = [];
let checked = 0;
for (const name of validators.keys()) {
    if (!name.startsWith("eth_") || NOT_HERE.has(name) || WEBSOCKET.has(name)) continue;
    for (const params of CALLS[name] ?? assert.fail(`the specification has ${name}, and this script does not`)) {
        const { result, error } = await ask(name, params);
        if (error !== undefined) {
            failures.push([name, params, error]);
            continue;
        }
        checked += 1;
        const validate = validators.get(name);
        if (!validate(result)) failures.push([name, params, ajv.errorsText(validate.errors), result]);
    }
}
assert.deepEqual(failures, []);
console.log(`${checked} results of the methods of the specification: all passed`);
provider.destroy();
