import { buildPage } from '../build-page.ts';
import { oneFile } from './one-file.ts';

const page = buildPage('simulator', 'docs/simulator');

export default {
  ...page,
  plugins: [oneFile()],
  build: {
    ...page.build,
    // `light-dark()` stays unchanged.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
  },
};
