// The programs of foundry.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { httpUrl } from "./chain.mjs";

export const cwd = new URL("foundry/", import.meta.url);
// Not the packages `@foundry-rs/forge` and `cast`: their programs end with status 0 also when the real ones fail.
const { resolve } = createRequire(import.meta.url);

export function run(program, args, variables = {}) {
    const env = { ...process.env, ETH_RPC_URL: httpUrl, ...variables };
    const options = { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] };
    return execFileSync(resolve(`@foundry-rs/${program}-linux-amd64/bin/${program}`), args, options).trim();
}
