import js from "@eslint/js";
import security from "eslint-plugin-security";

const node = { console: "readonly", performance: "readonly", process: "readonly" };

export default [
  { ignores: ["node_modules/", "reports/"] },
  js.configs.recommended,
  security.configs.recommended,
  {
    files: ["src/**/*.js", "test/**/*.js"],
    languageOptions: { sourceType: "commonjs", ecmaVersion: 2023, globals: node },
    rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error" },
  },
  {
    files: ["**/*.mjs"],
    languageOptions: { sourceType: "module", ecmaVersion: 2023, globals: node },
  },
  {
    // These run in the build, on the build's own files.
    files: ["scripts/**/*.mjs", "test/**/*.js"],
    rules: { "security/detect-non-literal-fs-filename": "off" },
  },
];
