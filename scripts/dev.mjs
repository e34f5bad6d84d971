// `npm run dev`: the server on the sources, started anew by tsx whenever one of them changes. It always runs on Node.
import { runCli } from '../src/cli/main.ts';

await runCli(['serve', ...process.argv.slice(2)]);
