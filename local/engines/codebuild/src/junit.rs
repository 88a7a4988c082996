//! JUnit XML, as test runners write it.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

/// One test of a report.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TestCase {
    pub(crate) suite: String,
    /// JUnit's `classname`.
    pub(crate) prefix: String,
    pub(crate) name: String,
    /// `SUCCEEDED`, `FAILED`, `ERROR` or `SKIPPED`.
    pub(crate) status: &'static str,
    pub(crate) nanoseconds: i64,
    pub(crate) message: String,
}

/// Messages are cut here: a report is kept in memory.
const MAX_MESSAGE: usize = 4_000;

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    attribute
        .normalized_value(XmlVersion::Implicit1_0)
        .ok()
        .map(std::borrow::Cow::into_owned)
}

fn test_case(element: &BytesStart<'_>, suites: &[String]) -> TestCase {
    let seconds: f64 = attribute(element, "time")
        .and_then(|time| time.parse().ok())
        .unwrap_or_default();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates; a test does not last for centuries"
    )]
    let nanoseconds = (seconds * 1e9) as i64;
    TestCase {
        suite: suites.last().cloned().unwrap_or_default(),
        prefix: attribute(element, "classname").unwrap_or_default(),
        name: attribute(element, "name").unwrap_or_default(),
        status: "SUCCEEDED",
        nanoseconds: nanoseconds.max(0),
        message: String::new(),
    }
}

/// The outcome that a child of `testcase` stands for.
fn outcome(name: &str) -> Option<&'static str> {
    match name {
        "failure" => Some("FAILED"),
        "error" => Some("ERROR"),
        "skipped" => Some("SKIPPED"),
        _ => None,
    }
}

/// Reads a report.
///
/// # Errors
/// What is wrong with the XML, or that it holds no test suite.
pub(crate) fn parse(xml: &str) -> Result<Vec<TestCase>, String> {
    let mut reader = Reader::from_str(xml);
    let (mut cases, mut suites, mut seen) = (Vec::new(), Vec::<String>::new(), false);
    let mut current: Option<TestCase> = None;
    let mut in_outcome = false;
    loop {
        let event = reader
            .read_event()
            .map_err(|error| format!("not readable as XML at byte {}: {error}", reader.error_position()))?;
        match event {
            Event::Eof => break,
            Event::Start(element) => match element.name().as_ref() {
                "testsuites" => seen = true,
                "testsuite" => {
                    seen = true;
                    suites.push(attribute(&element, "name").unwrap_or_default());
                }
                "testcase" => current = Some(test_case(&element, &suites)),
                name => in_outcome |= note(&mut current, name, &element),
            },
            Event::Empty(element) => match element.name().as_ref() {
                "testsuites" | "testsuite" => seen = true,
                "testcase" => cases.push(test_case(&element, &suites)),
                name => {
                    note(&mut current, name, &element);
                }
            },
            Event::Text(text) if in_outcome => {
                append(&mut current, text.as_ref());
            }
            Event::CData(text) if in_outcome => {
                append(&mut current, text.as_ref());
            }
            // `&lt;` and its like come as events of their own.
            Event::GeneralRef(entity) if in_outcome => {
                let character = entity.resolve_char_ref().ok().flatten();
                let text = character.map(String::from).or_else(|| {
                    quick_xml::escape::resolve_predefined_entity(entity.as_ref()).map(str::to_owned)
                });
                append(&mut current, &text.unwrap_or_default());
            }
            Event::End(element) => match element.name().as_ref() {
                "testsuite" => {
                    suites.pop();
                }
                "testcase" => cases.extend(current.take().map(|mut case| {
                    case.message = case.message.trim().to_owned();
                    case
                })),
                name if outcome(name).is_some() => in_outcome = false,
                _ => {}
            },
            _ => {}
        }
    }
    if !seen {
        return Err("no testsuite in it".to_owned());
    }
    Ok(cases)
}

/// Takes an outcome over into the test; answers whether its text is to be read too.
fn note(current: &mut Option<TestCase>, name: &str, element: &BytesStart<'_>) -> bool {
    let (Some(case), Some(status)) = (current.as_mut(), outcome(name)) else {
        return false;
    };
    case.status = status;
    case.message = attribute(element, "message").unwrap_or_default();
    case.message.is_empty()
}

fn append(current: &mut Option<TestCase>, text: &str) {
    if let Some(case) = current
        && case.message.len() < MAX_MESSAGE
    {
        case.message.extend(text.chars().take(MAX_MESSAGE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nested_suites_and_every_outcome() {
        let cases = parse(
            r#"<?xml version="1.0"?><testsuites><testsuite name="outer"><testsuite name="inner">
            <testcase name="a &lt; b" classname="test" time="0.0015"/>
            <testcase name="b"><failure type="x" message="expected 1"><![CDATA[stack]]></failure></testcase>
            <testcase name="c"><error> boom &lt; bang </error></testcase></testsuite>
            <testcase name="d"><skipped/></testcase></testsuite></testsuites>"#,
        )
        .unwrap();
        let got: Vec<_> = cases
            .iter()
            .map(|c| (c.suite.as_str(), c.name.as_str(), c.status, c.message.as_str()))
            .collect();
        assert_eq!(
            got,
            [
                ("inner", "a < b", "SUCCEEDED", ""),
                ("inner", "b", "FAILED", "expected 1"),
                ("inner", "c", "ERROR", "boom < bang"),
                ("outer", "d", "SKIPPED", ""),
            ]
        );
        assert_eq!(cases[0].nanoseconds, 1_500_000);
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        assert!(parse("<html></html>").is_err());
        assert!(parse("<testsuite><testcase name='a'></testsuite>").is_err());
        assert!(parse("").is_err());
    }
}
