//! The page's one style sheet, and the policy that lets the browser load nothing else.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Every pair of text and background has a contrast of at least 4.5 : 1, borders of controls 3 : 1
/// (WCAG 2.2, 1.4.3 and 1.4.11), in light and dark.
pub(crate) const STYLE: &str = "
:root {
  color-scheme: light dark;
  --ground: #ffffff; --raised: #f4f6f8; --text: #1b1f24; --quiet: #535b65; --line: #d0d7de; --edge: #6e7781;
  --go: #1a7f37; --go-text: #ffffff; --stop: #b42318; --focus: #0550ae; --warn: #fff3cd; --warn-text: #4d3800;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1419; --raised: #1a2129; --text: #e8edf2; --quiet: #a3afbb; --line: #303a45; --edge: #7d8994;
    --go: #238636; --go-text: #ffffff; --stop: #ff8279; --focus: #79c0ff; --warn: #3a2d00; --warn-text: #ffdf8a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 1rem/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; }
main { max-width: 42rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
header p { margin: 0; color: var(--quiet); font-size: .875rem; }
h1 { margin: .25rem 0 1rem; font-size: 1.75rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 .5rem; font-size: 1.125rem; }
h3 { margin: 1rem 0 .25rem; font-size: 1rem; }
dl { margin: 0; padding: .5rem 1rem; background: var(--raised); border: 1px solid var(--line); border-radius: .5rem; }
dl div { padding: .5rem 0; }
dl div + div { border-top: 1px solid var(--line); }
dt { color: var(--quiet); font-size: .875rem; }
dd { margin: 0; overflow-wrap: anywhere; }
dl.approved { border-left: .375rem solid var(--go); }
dl.rejected { border-left: .375rem solid var(--stop); }
ul { margin: 0; padding-left: 1.25rem; }
li { overflow-wrap: anywhere; }
a { color: var(--focus); }
.notice { margin: 1rem 0; padding: .75rem 1rem; border-radius: .5rem; background: var(--warn); color: var(--warn-text); }
label { display: block; font-weight: 600; }
.hint { margin: 0 0 .25rem; color: var(--quiet); font-size: .875rem; }
textarea { display: block; width: 100%; min-height: 5.5rem; padding: .625rem .75rem; font: inherit; color: inherit;
  background: var(--ground); border: 1px solid var(--edge); border-radius: .375rem; resize: vertical; }
.choices { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1rem; }
button { flex: 1 1 10rem; min-height: 3rem; padding: .625rem 1.25rem; font: inherit; font-weight: 600;
  border: 2px solid; border-radius: .375rem; cursor: pointer; }
button[value=approve] { background: var(--go); border-color: var(--go); color: var(--go-text); }
button[value=reject] { background: transparent; border-color: var(--stop); color: var(--stop); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
@media (min-width: 36rem) {
  dl div { display: grid; grid-template-columns: 8rem 1fr; gap: 1rem; align-items: baseline; }
}
@media (forced-colors: active) { button { border-color: ButtonText; } }
";

/// Nothing runs and nothing is loaded, except the one style sheet (by its hash) and the empty icon that
/// keeps browsers from asking for `/favicon.ico`; the form goes here, and nobody frames it.
pub(crate) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    )
});
