// A daemon with many simulated sessions, for looking at its page.
import { spawn, execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export const token = "a-token-of-these-tests";

// start runs a daemon with that many sessions, of which one crashes now and then, one is parked and one asks before
// it uses a tool. It returns when the daemon says that it is up.
export async function start(program, sessions) {
  const dir = await mkdtemp(join(tmpdir(), "understudy-page-"));
  const file = join(dir, "understudy.yaml");
  const names = [];
  const members = [];
  for (let i = 1; names.length < sessions - 3; i++) {
    const name = "worker-" + String(i).padStart(3, "0");
    names.push(name);
    members.push(`  ${name}: {model: ${i % 3 ? "sonnet" : "haiku"}${i % 10 ? "" : ", env: {UNDERSTUDY_SIM_WORK_EVERY: 4s}"}}`);
  }
  const configuration = (more) => `version: 1
data_dir: ${dir}/data
cli: {path: simulated}
supervisor:
  max_restarts: 3
  max_seconds: 60
  backoff: {initial: 1s, max: 10s, jitter: 0.2}
defaults:
  permission_mode: default
  allowed_tools: [Read, Glob, Grep, "Bash(echo:*)"]
  max_budget_usd: 2.00
sessions:
  asking: {model: opus, permission_timeout: 2m}
  crashing: {env: {UNDERSTUDY_SIM_CRASH_EVERY: 6s}}
  parked: {env: {UNDERSTUDY_SIM_STARTUP: "exit:3"}}
${[...members, ...more].join("\n")}
debug:
  listen: 127.0.0.1:0
  token: ${token}
  open_reads: true
`;
  await writeFile(file, configuration([]));
  const daemon = spawn(program, ["up", "-f", file, "--log-level", "warn"], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let log = "";
  daemon.stderr.on("data", (data) => (log = (log + data).slice(-20000)));
  const page = await new Promise((resolve, reject) => {
    daemon.stdout.on("data", (data) => {
      out += data;
      const found = /debug page\s+(http:\S+)/.exec(out);
      if (found) resolve(found[1]);
    });
    daemon.on("exit", (code) => reject(new Error(`the daemon ended with ${code}:\n${out}${log}`)));
  });
  const run = promisify(execFile);
  return {
    page,
    names,
    // command runs one of the daemon's commands and gives what it prints.
    command: async (...args) => (await run(program, [...args, "--data-dir", join(dir, "data")])).stdout,
    // reload has the daemon read its configuration with these sessions too.
    reload: async (...more) => {
      await writeFile(file, configuration(more.map((name) => `  ${name}: {}`)));
      await run(program, ["reload", "--data-dir", join(dir, "data")]);
    },
    // send sends a prompt in the background, and gives its end.
    send: (name, prompt) => run(program, ["send", name, prompt, "--data-dir", join(dir, "data")]),
    log: () => log,
    stop: async () => {
      const ended = new Promise((resolve) => daemon.on("exit", resolve));
      daemon.kill("SIGTERM");
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
