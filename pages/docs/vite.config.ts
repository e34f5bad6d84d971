import { buildPage } from '../build-page.ts';

const page = buildPage('docs', 'dist/docs');

/** The server renders the document. This builds only its script, under a name that the document knows. */
export default {
  ...page,
  build: {
    ...page.build,
    rollupOptions: { input: `${page.root}/main.ts`, output: { entryFileNames: 'docs.js' } },
  },
};
