//! A person's tab: a screen, a keyboard, a finger.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::chromium::{Cdp, Chromium};
use crate::world::until;

/// What somebody looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// As wide as most phones are.
pub(crate) const PHONE: Screen = Screen {
    name: "phone",
    width: 390,
    height: 844,
};
/// A small window of a desktop.
pub(crate) const DESKTOP: Screen = Screen {
    name: "desktop",
    width: 1280,
    height: 800,
};

/// Whether pages may run scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scripts {
    On,
    Off,
}

/// A tab with cookies of its own, as of another person's browser.
#[derive(Debug)]
pub(crate) struct Tab {
    cdp: Arc<Cdp>,
    session: String,
    frame: String,
    /// Where its events begin.
    opened: usize,
}

impl Tab {
    pub(crate) async fn new(browser: &Chromium, screen: Screen, scripts: Scripts) -> Self {
        let (cdp, opened) = (browser.cdp.clone(), browser.cdp.mark());
        let context = cdp.call(None, "Target.createBrowserContext", json!({})).await;
        let target = json!({ "url": "about:blank", "browserContextId": context["browserContextId"].clone() });
        let target = cdp.call(None, "Target.createTarget", target).await;
        let frame = target["targetId"].as_str().unwrap().to_owned();
        let attach = json!({ "targetId": frame, "flatten": true });
        let session = cdp.call(None, "Target.attachToTarget", attach).await;
        let session = session["sessionId"].as_str().unwrap().to_owned();
        let tab = Self {
            cdp,
            session,
            frame,
            opened,
        };
        for domain in ["Page", "Network", "Runtime", "Log"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        let off = json!({ "value": scripts == Scripts::Off });
        tab.call("Emulation.setScriptExecutionDisabled", off).await;
        tab.resize(screen).await;
        tab
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.cdp.call(Some(&self.session), method, params).await
    }

    /// Another screen, for the page that is shown.
    pub(crate) async fn resize(&self, screen: Screen) {
        let phone = screen == PHONE;
        let metrics = json!({
            "width": screen.width, "height": screen.height, "deviceScaleFactor": if phone { 2 } else { 1 },
            "mobile": phone,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
        let touch = json!({ "enabled": phone, "maxTouchPoints": 5 });
        self.call("Emulation.setTouchEmulationEnabled", touch).await;
    }

    /// Dark or light, as the person's system asks for it.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).await;
    }

    /// Does what leads to another page; answers its status, or `None` where the browser had kept it.
    async fn going(&self, what: &str, action: impl Future<Output = ()>) -> Option<u64> {
        let mark = self.cdp.mark();
        action.await;
        let of_page =
            |event: &Value, method: &str| event["sessionId"] == self.session && event["method"] == method;
        let is_ours = |event: &Value| {
            of_page(event, "Page.frameNavigated") && event["params"]["frame"]["id"] == self.frame
        };
        let navigated = self.cdp.event(what, mark, is_ours).await;
        if navigated["params"]["type"] == "BackForwardCacheRestore" {
            return None;
        }
        let loaded = |event: &Value| of_page(event, "Page.loadEventFired");
        self.cdp.event(&format!("the end of {what}"), mark, loaded).await;
        let is_document = |event: &Value| {
            of_page(event, "Network.responseReceived")
                && event["params"]["type"] == "Document"
                && event["params"]["frameId"] == self.frame
        };
        let answers = self.cdp.since(mark, is_document);
        answers
            .last()
            .and_then(|event| event["params"]["response"]["status"].as_u64())
    }

    /// Opens an address; answers the status.
    pub(crate) async fn open(&self, url: &str) -> u64 {
        let going = self.going("the page", async {
            self.call("Page.navigate", json!({ "url": url })).await;
        });
        going.await.expect("a page that is opened is asked for")
    }

    /// The browser's own button.
    pub(crate) async fn reload(&self) -> Option<u64> {
        self.going("the page again", async {
            self.call("Page.reload", json!({})).await;
        })
        .await
    }

    /// The browser's own button.
    pub(crate) async fn back(&self) -> Option<u64> {
        let history = self.call("Page.getNavigationHistory", json!({})).await;
        let before = history["currentIndex"].as_u64().unwrap().checked_sub(1);
        let before = usize::try_from(before.expect("there is a page to go back to")).unwrap();
        let entry = history["entries"][before]["id"].clone();
        self.going("the page before", async {
            self.call("Page.navigateToHistoryEntry", json!({ "entryId": entry }))
                .await;
        })
        .await
    }

    /// The value of an expression; the driver's own scripts run also where the page's may not.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", params).await;
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{expression:.200}: {thrown}");
        answer["result"]["value"].clone()
    }

    /// The page as it reads.
    pub(crate) async fn text(&self) -> String {
        let text = self.evaluate("document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Whether something is on the page.
    pub(crate) async fn has(&self, selector: &str) -> bool {
        let found = format!("document.querySelector({}) !== null", json!(selector));
        self.evaluate(&found).await == true
    }

    /// What a field holds.
    pub(crate) async fn value(&self, selector: &str) -> String {
        let held = format!("document.querySelector({}).value", json!(selector));
        let value = self.evaluate(&held).await;
        value.as_str().unwrap_or_default().to_owned()
    }

    /// What has the keyboard: its id, else its value, else its text.
    pub(crate) async fn focused(&self) -> String {
        let named = "(e => e.id || e.value || e.innerText)(document.activeElement)";
        self.evaluate(named).await.as_str().unwrap_or_default().to_owned()
    }

    /// Whether one sees what has the keyboard: the browser shows its ring, and it is a ring.
    pub(crate) async fn focus_is_visible(&self) -> bool {
        let ring = "(e => { const s = getComputedStyle(e); return e.matches(':focus-visible') \
             && s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })(document.activeElement)";
        self.evaluate(ring).await == true
    }

    async fn key(&self, key: &str, code: u32, text: &str) {
        let params = |kind: &str| {
            json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
                "text": if kind == "keyDown" { text } else { "" },
            })
        };
        self.call(
            "Input.dispatchKeyEvent",
            params(if text.is_empty() { "rawKeyDown" } else { "keyDown" }),
        )
        .await;
        self.call("Input.dispatchKeyEvent", params("keyUp")).await;
    }

    /// On to the next thing that takes the keyboard; answers which.
    pub(crate) async fn next(&self) -> String {
        self.key("Tab", 9, "").await;
        self.focused().await
    }

    /// Writes where the keyboard is.
    pub(crate) async fn write(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Enter, on what leads to another page.
    pub(crate) async fn enter(&self) -> u64 {
        let going = self.going("the answer", self.key("Enter", 13, "\r"));
        going.await.expect("a form's answer is asked for")
    }

    /// Where something is on the screen, scrolled to.
    async fn place(&self, selector: &str) -> (f64, f64) {
        let script = format!(
            "(e => {{ e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); const r = e.getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2]; }})(document.querySelector({}))",
            json!(selector)
        );
        let place = self.evaluate(&script).await;
        (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
    }

    /// The mouse.
    async fn mouse(&self, selector: &str) {
        let (x, y) = self.place(selector).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params).await;
        }
    }

    /// A finger.
    async fn finger(&self, selector: &str) {
        let (x, y) = self.place(selector).await;
        for (kind, points) in [
            ("touchStart", json!([{ "x": x, "y": y }])),
            ("touchEnd", json!([])),
        ] {
            let params = json!({ "type": kind, "touchPoints": points });
            self.call("Input.dispatchTouchEvent", params).await;
        }
    }

    /// Clicks into a field and writes.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        self.mouse(selector).await;
        self.write(text).await;
    }

    /// Clicks what leads to another page; answers the status.
    pub(crate) async fn click(&self, selector: &str) -> u64 {
        let going = self.going("the answer", self.mouse(selector));
        going.await.expect("a form's answer is asked for")
    }

    /// Taps what leads to another page; answers the status.
    pub(crate) async fn tap(&self, selector: &str) -> u64 {
        let going = self.going("the answer", self.finger(selector));
        going.await.expect("a form's answer is asked for")
    }

    /// The roles and names by which a screen reader tells of what can be used.
    pub(crate) async fn controls(&self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().unwrap();
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let told = nodes.iter().filter(|node| node["ignored"] != true);
        told.map(|node| (text(&node["role"]), text(&node["name"])))
            .filter(|(role, _)| matches!(role.as_str(), "textbox" | "button" | "link"))
            .collect()
    }

    /// What was asked for over the network since the tab was opened.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent = |event: &Value| {
            event["sessionId"] == self.session && event["method"] == "Network.requestWillBeSent"
        };
        let events = self.cdp.since(self.opened, sent);
        let url = |event: &Value| {
            event["params"]["request"]["url"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        events.iter().map(url).collect()
    }

    /// What the browser has against the pages since the tab was opened: blocked styles, refused frames.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let logged =
            |event: &Value| event["sessionId"] == self.session && event["method"] == "Log.entryAdded";
        let events = self.cdp.since(self.opened, logged);
        let text = |event: &Value| {
            event["params"]["entry"]["text"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        events.iter().map(text).collect()
    }

    /// The frames within the page, by where they are.
    pub(crate) async fn frames(&self) -> Vec<String> {
        let tree = self.call("Page.getFrameTree", json!({})).await;
        let children = tree["frameTree"]["childFrames"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let url = |frame: &Value| frame["frame"]["url"].as_str().unwrap_or_default().to_owned();
        children.iter().map(url).collect()
    }

    /// Waits until a frame within the page has come to its end, and answers where it is.
    pub(crate) async fn framed(&self) -> String {
        until("the frame's page", async || {
            let frames = self.frames().await;
            frames
                .into_iter()
                .find(|url| !url.is_empty() && url != "about:blank")
        })
        .await
    }

    /// Keeps the whole page as a picture, to look at.
    pub(crate) async fn picture(&self, path: &Path) {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.call("Page.captureScreenshot", params).await;
        let bytes = STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
