// `npm run dev`: runs the server on the sources. tsx restarts it whenever a source changes. It always runs on Node.
import { runCli } from '../src/cli/main.ts';

await runCli(['serve', ...process.argv.slice(2)]);
