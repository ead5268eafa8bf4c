// The build: sources enter, `dist/` with hashed assets and their compressed twins leaves. No address from outside.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const OUT = "dist";
/** What compression pays for; fonts are compressed already. */
const TEXT = /\.(js|css|svg|json)$/;

/** Write `.br` and `.gz` beside each text of the build, so that the server compresses nothing. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    closeBundle() {
      const folder = join(import.meta.dirname, OUT, "assets");
      for (const name of readdirSync(folder).filter((each) => TEXT.test(each))) {
        const content = readFileSync(join(folder, name));
        writeFileSync(
          join(folder, `${name}.br`),
          brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
        );
        writeFileSync(join(folder, `${name}.gz`), gzipSync(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [compressed()],
  build: {
    outDir: OUT,
    target: "es2022",
    assetsInlineLimit: 0, // the policy of the pages lets nothing in from `data:` but pictures
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
  },
  server: { proxy: { "/api": process.env.HAIDANG_API ?? "http://127.0.0.1:8080" } },
});
