// A project's tests on a chain with real blocks: events, reverts, custom errors, panics, changed balances.
const { anyValue } = require("@nomicfoundation/hardhat-chai-matchers/withArgs");
const { expect } = require("chai");
const { ethers, network } = require("hardhat");

describe("Box", function () {
    this.timeout(60_000);
    let box, owner, other;

    before(async function () {
        expect(network.name).to.equal("alys");
        [owner, other] = await ethers.getSigners();
        box = await ethers.deployContract("Box", [41n]);
        await box.waitForDeployment();
    });

    it("keeps its first number", async function () {
        expect(await box.value()).to.equal(41n);
    });

    it("emits an event with its arguments, and keeps the money", async function () {
        const sent = await box.set(7n, "seven", { value: 5n });
        await sent.wait(); // a block comes every two seconds, not with each transaction
        await expect(sent).to.emit(box, "Changed").withArgs(owner.address, anyValue, "seven");
        await expect(sent).to.changeEtherBalances([box], [5n]);
        expect(await box.value()).to.equal(7n);
    });

    it("takes changes from another account", async function () {
        await (await box.connect(other).set(8n, "eight")).wait();
        expect((await box.queryFilter(box.filters.Changed(other.address))).map((event) => event.args.value)).to.deep.equal([8n]);
    });

    it("says why a call is refused", async function () {
        await expect(box.refuse()).to.be.revertedWith("no luck");
        await expect(box.odd()).to.be.revertedWithCustomError(box, "Odd").withArgs(7n);
        await expect(box.divide(0n)).to.be.revertedWithPanic(0x12);
    });
});
