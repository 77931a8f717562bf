// The compiler from npm instead of a download. The configuration itself is that of docs/developing-contracts.md.
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");
const { version } = require("solc/package.json");

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async () => ({
    compilerPath: require.resolve("solc/soljson.js"),
    isSolcJs: true,
    version,
    longVersion: version,
}));
