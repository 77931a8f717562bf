require("@nomicfoundation/hardhat-ethers");
require("@nomicfoundation/hardhat-chai-matchers");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");

// The compiler from npm, so that the project needs no download.
const { version } = require("solc/package.json");
subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async () => ({
    compilerPath: require.resolve("solc/soljson.js"),
    isSolcJs: true,
    version,
    longVersion: version,
}));

module.exports = {
    solidity: { version, settings: { evmVersion: "cancun" } },
    defaultNetwork: "alys",
    networks: {
        alys: { url: process.env.CHAIN_URL, chainId: Number(process.env.CHAIN_ID), accounts: [process.env.CHAIN_KEY] },
    },
};
