import { runCli } from './ui/cli.ts';

process.exitCode = await runCli(process.argv.slice(2));
