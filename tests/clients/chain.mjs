// The chain that the scripts use, as the test that runs them describes it, and a compiled contract.
import { readFileSync } from "node:fs";

export const httpUrl = process.env.CHAIN_URL;
export const websocketUrl = httpUrl.replace("http:", "ws:");
export const chainId = BigInt(process.env.CHAIN_ID);
// The key of an account with money, which no other script uses.
export const key = process.env.CHAIN_KEY;
export const box = JSON.parse(readFileSync(new URL("box.json", import.meta.url), "utf8"));
