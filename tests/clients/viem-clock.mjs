// viem 2, the actions of its test client, against `--dev-clock`, in both of its modes.
import assert from "node:assert/strict";
import { createTestClient, defineChain, http, parseEther, publicActions, walletActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { box, chainId, httpUrl, key } from "./chain.mjs";

const chain = defineChain({
    id: Number(chainId),
    name: "Alys",
    nativeCurrency: { name: "Bitcoin", symbol: "BTC", decimals: 18 },
    rpcUrls: { default: { http: [httpUrl] } },
});
const account = privateKeyToAccount(key);
const other = "0x00000000000000000000000000000000000c0c0c";

for (const mode of ["hardhat", "anvil"]) {
    const client = createTestClient({ chain, mode, transport: http(), account, pollingInterval: 50 })
        .extend(publicActions)
        .extend(walletActions);
    await client.reset();
    assert.equal(await client.getBlockNumber({ cacheTime: 0 }), 0n);
    const start = await client.snapshot();

    assert.equal(await client.getAutomine(), true);
    const creation = await client.deployContract({ ...box, args: [41n] });
    const { contractAddress: address } = await client.getTransactionReceipt({ hash: creation }); // mined already
    assert.equal(await client.readContract({ ...box, address, functionName: "value" }), 41n);

    const { timestamp } = await client.getBlock();
    await client.setNextBlockTimestamp({ timestamp: timestamp + 1_000n });
    await client.mine({ blocks: 1 });
    assert.equal((await client.getBlock()).timestamp, timestamp + 1_000n);
    await client.increaseTime({ seconds: 500 });
    await client.mine({ blocks: 3, interval: 10 });
    const later = await client.getBlock();
    assert.ok(later.timestamp >= timestamp + 1_520n && later.number === 5n);
    if (mode === "anvil") { // hardhat has no such methods
        await client.setBlockTimestampInterval({ interval: 7 });
        await client.mine({ blocks: 1 });
        assert.equal((await client.getBlock()).timestamp, later.timestamp + 7n);
        await client.removeBlockTimestampInterval();
    }

    await client.setBalance({ address: other, value: parseEther("3") });
    assert.equal(await client.getBalance({ address: other }), parseEther("3"));
    await client.impersonateAccount({ address: other });
    const hash = await client.sendTransaction({ account: other, to: account.address, value: 1n });
    assert.equal((await client.getTransaction({ hash })).from, other);
    await client.stopImpersonatingAccount({ address: other });
    await assert.rejects(client.sendTransaction({ account: other, to: account.address, value: 1n }), /unknown account/);
    await client.setNonce({ address: other, nonce: 9 });
    assert.equal(await client.getTransactionCount({ address: other }), 9);
    await client.setStorageAt({ address, index: 0, value: `0x${"8".padStart(64, "0")}` });
    assert.equal(await client.readContract({ ...box, address, functionName: "value" }), 8n);
    await client.setCode({ address: other, bytecode: "0x600160005260206000f3" });
    assert.equal((await client.call({ to: other })).data, `0x${"1".padStart(64, "0")}`);

    // Without automine, transactions wait; a snapshot has them too.
    await client.setAutomine(false);
    const waiting = await client.sendTransaction({ to: other, value: 5n });
    assert.equal((await client.getTxpoolStatus()).pending, 1);
    const withOne = await client.snapshot();
    await client.mine({ blocks: 1 });
    assert.equal((await client.getTransactionReceipt({ hash: waiting })).status, "success");
    await client.revert({ id: withOne });
    assert.equal((await client.getTxpoolStatus()).pending, 1);
    await client.dropTransaction({ hash: waiting });
    assert.equal((await client.getTxpoolStatus()).pending, 0);
    await client.setAutomine(true);

    // Blocks at an interval of the real time, as a node without a transaction makes them.
    const before = await client.getBlockNumber({ cacheTime: 0 });
    await client.request({ method: "evm_setIntervalMining", params: [50] });
    while ((await client.getBlockNumber({ cacheTime: 0 })) < before + 2n) {
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await client.setIntervalMining({ interval: 0 });

    await client.revert({ id: start });
    assert.equal(await client.getBlockNumber({ cacheTime: 0 }), 0n);
    assert.equal(await client.getCode({ address }), undefined);
    await assert.rejects(client.request({ method: "evm_setBlockGasLimit", params: ["0x1"] }), /does not exist/);
}
console.log("viem-clock: all passed");
