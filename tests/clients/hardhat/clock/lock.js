// A project's tests with fixtures and a moving clock: hardhat-network-helpers as it is, against `--dev-clock`.
const helpers = require("@nomicfoundation/hardhat-network-helpers");
const { expect } = require("chai");
const { ethers, network } = require("hardhat");

const { loadFixture, time } = helpers;
const YEAR = 365 * 24 * 60 * 60;

describe("Lock", function () {
    this.timeout(60_000);

    async function deploy() {
        const unlockTime = (await time.latest()) + YEAR;
        const [owner, other] = await ethers.getSigners();
        const lock = await ethers.deployContract("Lock", [unlockTime], { value: 1_000n });
        return { lock, unlockTime, owner, other };
    }

    it("is on a chain outside of hardhat", async function () {
        expect(network.name).to.equal("alysClock");
    });

    it("mines a block with each transaction", async function () {
        const { lock, unlockTime, owner } = await loadFixture(deploy);
        expect(await lock.unlockTime()).to.equal(unlockTime);
        const before = await time.latestBlock();
        const sent = await owner.sendTransaction({ to: lock, value: 5n }); // nobody waits for it
        expect(await time.latestBlock()).to.equal(before + 1);
        expect((await sent.wait()).blockNumber).to.equal(before + 1);
        expect(await ethers.provider.getBalance(lock)).to.equal(1_005n);
    });

    it("begins each test where the fixture ended", async function () {
        const { lock } = await loadFixture(deploy);
        expect(await ethers.provider.getBalance(lock)).to.equal(1_000n); // not 1,005
        await time.increase(2 * YEAR);
    });

    it("refuses with custom errors, also after the clock was set back", async function () {
        const { lock, unlockTime, other } = await loadFixture(deploy);
        await expect(lock.withdraw()).to.be.revertedWithCustomError(lock, "TooEarly").withArgs(unlockTime);
        await time.increaseTo(unlockTime);
        expect(await time.latest()).to.equal(unlockTime);
        await expect(lock.connect(other).withdraw()).to.be.revertedWithCustomError(lock, "NotOwner").withArgs(other.address);
        await expect(ethers.deployContract("Lock", [unlockTime])).to.be.revertedWith("Unlock time should be in the future");
    });

    it("pays out at the exact second", async function () {
        const { lock, unlockTime, owner } = await loadFixture(deploy);
        await time.setNextBlockTimestamp(unlockTime);
        await expect(lock.withdraw()).to.emit(lock, "Withdrawal").withArgs(1_000n, unlockTime);
        const again = await loadFixture(deploy);
        await time.increaseTo(unlockTime);
        await expect(again.lock.withdraw()).to.changeEtherBalances([owner, lock], [1_000n, -1_000n]);
    });

    it("mines many blocks, at intervals", async function () {
        const [number, timestamp] = [await time.latestBlock(), await time.latest()];
        await helpers.mine(100, { interval: 60 });
        expect(await time.latestBlock()).to.equal(number + 100);
        expect(await time.latest()).to.be.at.least(timestamp + 99 * 60);
        await helpers.mineUpTo(number + 110);
        expect(await time.latestBlock()).to.equal(number + 110);
    });

    it("changes states and sends as a contract", async function () {
        const { lock, other } = await loadFixture(deploy);
        await helpers.setBalance(lock.target, ethers.parseEther("2"));
        expect(await ethers.provider.getBalance(lock)).to.equal(ethers.parseEther("2"));
        await helpers.impersonateAccount(lock.target);
        const contract = await ethers.getSigner(lock.target);
        const sent = await contract.sendTransaction({ to: other.address, value: 7n });
        expect((await sent.wait()).from).to.equal(lock.target);
        await helpers.stopImpersonatingAccount(lock.target);
        await expect(contract.sendTransaction({ to: other.address, value: 7n })).to.be.rejectedWith("unknown account");

        const empty = "0x00000000000000000000000000000000000e0e0e";
        await helpers.setCode(empty, await ethers.provider.getCode(lock));
        await helpers.setNonce(empty, 5);
        await helpers.setStorageAt(empty, 3, 9);
        expect(await ethers.provider.getCode(empty)).to.equal(await ethers.provider.getCode(lock));
        expect(await ethers.provider.getTransactionCount(empty)).to.equal(5);
        expect(BigInt(await ethers.provider.getStorage(empty, 3))).to.equal(9n);
        await helpers.mine();
        expect(await ethers.provider.getTransactionCount(empty)).to.equal(5);
        expect(BigInt(await ethers.provider.getStorage(empty, 3))).to.equal(9n);
    });

    it("takes snapshots and returns to them", async function () {
        const snapshot = await helpers.takeSnapshot();
        const [number, timestamp] = [await time.latestBlock(), await time.latest()];
        const { lock } = await deploy();
        await snapshot.restore();
        expect(await time.latestBlock()).to.equal(number);
        expect(await time.latest()).to.equal(timestamp);
        expect(await ethers.provider.getCode(lock)).to.equal("0x");
    });

    it("collects transactions without automine", async function () {
        const [owner, other] = await ethers.getSigners();
        await network.provider.send("evm_setAutomine", [false]);
        const first = await owner.sendTransaction({ to: other.address, value: 1n });
        const second = await owner.sendTransaction({ to: other.address, value: 2n });
        expect(await ethers.provider.getTransactionReceipt(first.hash)).to.equal(null);
        await helpers.dropTransaction(second.hash);
        await helpers.mine();
        await network.provider.send("evm_setAutomine", [true]);
        expect((await ethers.provider.getBlock("latest")).transactions).to.deep.equal([first.hash]);
    });
});
