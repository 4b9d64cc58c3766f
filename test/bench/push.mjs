// 200 MB over real OpenSSH on loopback: our push against scp, interleaved, median of n. Run: node test/bench/push.mjs [MB] [n]. Needs openssh-server.
import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOfFile } from '../../src/core/fingerprint.ts';
import { addDevice, connectionOf } from '../../src/deploy/registry.ts';
import { sshTransport } from '../../src/deploy/transports/ssh.ts';
import { hasOpenssh, openssh } from '../deploy/openssh.ts';

if (!hasOpenssh) process.exit(1);
const [size = 200, rounds = 5] = process.argv.slice(2).map(Number);
const run = promisify(execFile);
const median = list => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const show = list => `${median(list).toFixed(0)} ms (${list.map(each => each.toFixed(0)).join(', ')})`;

await using server = await openssh();
const file = join(server.folder, 'big.bin');
const bytes = Buffer.alloc(size * 1e6);
randomFillSync(bytes);
writeFileSync(file, bytes);
const digest = await digestOfFile(file);
const config = join(server.folder, 'config');
const sshConfig = join(server.folder, 'none');
const destination = `${server.user}@127.0.0.1:${server.port}`;
await addDevice('bench', destination, { config, identityFile: server.key, sshConfig });
const scp = [
  '-q',
  '-O',
  '-i',
  server.key,
  '-P',
  String(server.port),
  '-o',
  'StrictHostKeyChecking=no',
  '-o',
  `UserKnownHostsFile=${join(server.folder, 'known')}`,
  '-o',
  'IdentityAgent=none',
];
const sftp = scp.filter(word => word !== '-O');
const times = { push: [], whole: [], hash: [], sync: [], scp: [], 'scp -O': [] };
const timed = async (name, work) => {
  const start = performance.now();
  await work();
  times[name].push(performance.now() - start);
};
for (let round = 0; round < rounds; round++) {
  rmSync(join(server.home, '.edgeforge'), { recursive: true, force: true });
  const start = performance.now();
  await using transport = await sshTransport(await connectionOf('bench', { ssh: destination, identityFile: server.key }, { config, sshConfig }));
  const { report } = await transport.push(file, digest);
  times.whole.push(performance.now() - start);
  times.push.push(report.transferMs);
  times.hash.push(report.hashMs);
  times.sync.push(report.syncMs);
  await timed('scp', () => run('scp', [...sftp, file, `${server.user}@127.0.0.1:${server.home}/scp.bin`]));
  rmSync(join(server.home, 'scp.bin'), { force: true });
  await timed('scp -O', () => run('scp', [...scp, file, `${server.user}@127.0.0.1:${server.home}/scp.bin`]));
  rmSync(join(server.home, 'scp.bin'), { force: true });
}
for (const [name, list] of Object.entries(times)) console.log(`${name.padEnd(8)} ${show(list)}`);
console.log(`transfer / scp    = ${(median(times.push) / median(times.scp)).toFixed(2)}`);
console.log(`transfer / scp -O = ${(median(times.push) / median(times['scp -O'])).toFixed(2)}`);
