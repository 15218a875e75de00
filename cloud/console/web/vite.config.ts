import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// The build has to come out the same everywhere: no dates, no paths, names by content.
export default defineConfig({
  base: '/console/',
  plugins: [react()],
  build: {
    outDir: 'out',
    emptyOutDir: true,
    target: 'es2022',
    sourcemap: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 800,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: { proxy: { '/v1': 'http://127.0.0.1:8080', '/console/state': 'http://127.0.0.1:8080', '/readyz': 'http://127.0.0.1:8080' } },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
