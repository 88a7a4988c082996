//! The alarms of a deployment group, with composite ones that are made of composite ones.

use signalbox_decision::validation::policy::Policy;

use super::*;
use crate::alarms::check;
use crate::subject::Subject;

/// Each alarm: its name, and its rule where it is a composite one.
#[derive(Debug, Clone)]
struct Alarms {
    all: Vec<(String, Option<String>)>,
    calls: Arc<Mutex<u32>>,
}

/// CBOR (RFC 8949) as far as an answer of `DescribeAlarms` goes: texts, lists and maps.
enum Cbor {
    Text(String),
    List(Vec<Cbor>),
    Map(Vec<(&'static str, Cbor)>),
}

impl Cbor {
    fn write(&self, into: &mut Vec<u8>) {
        let head = |major: u8, count: usize, into: &mut Vec<u8>| {
            into.push(major << 5 | 25);
            into.extend(u16::try_from(count).unwrap().to_be_bytes());
        };
        match self {
            Self::Text(text) => {
                head(3, text.len(), into);
                into.extend(text.as_bytes());
            }
            Self::List(all) => {
                head(4, all.len(), into);
                all.iter().for_each(|one| one.write(into));
            }
            Self::Map(all) => {
                head(5, all.len(), into);
                for (name, one) in all {
                    Self::Text((*name).to_owned()).write(into);
                    one.write(into);
                }
            }
        }
    }
}

fn text(text: &str) -> Cbor {
    Cbor::Text(text.to_owned())
}

impl Alarms {
    fn described(&self, request: &[u8]) -> Vec<u8> {
        let is_asked = |name: &str| {
            let mut wanted = Vec::new();
            // With its length, so that a name is not found in another one.
            wanted.push(0x60 | u8::try_from(name.len()).unwrap());
            wanted.extend(name.as_bytes());
            request.windows(wanted.len()).any(|part| part == wanted)
        };
        let (mut composite, mut metric) = (Vec::new(), Vec::new());
        for (name, rule) in self.all.iter().filter(|(name, _)| is_asked(name)) {
            match rule {
                Some(rule) => composite.push(Cbor::Map(vec![
                    ("AlarmName", text(name)),
                    ("AlarmRule", text(rule)),
                ])),
                None => metric.push(Cbor::Map(vec![
                    ("AlarmName", text(name)),
                    ("Namespace", text("AWS/Lambda")),
                    ("MetricName", text("Errors")),
                    (
                        "Dimensions",
                        Cbor::List(vec![Cbor::Map(vec![
                            ("Name", text("FunctionName")),
                            ("Value", text("another")),
                        ])]),
                    ),
                ])),
            }
        }
        let mut body = Vec::new();
        Cbor::Map(vec![
            ("CompositeAlarms", Cbor::List(composite)),
            ("MetricAlarms", Cbor::List(metric)),
        ])
        .write(&mut body);
        body
    }
}

impl HttpConnector for Alarms {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let respond = |body: SdkBody, kind: &'static str| {
            let mut answer = HttpResponse::new(200.try_into().unwrap(), body);
            answer.headers_mut().insert("content-type", kind);
            answer.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
            HttpConnectorFuture::ready(Ok(answer))
        };
        if request.uri().contains("DescribeAlarms") {
            *self.calls.lock().unwrap() += 1;
            let body = self.described(request.body().bytes().unwrap_or_default());
            return respond(SdkBody::from(body), "application/cbor");
        }
        let group = json!({ "deploymentGroupInfo": { "alarmConfiguration": {
            "enabled": true, "alarms": [{ "name": self.all[0].0 }],
        } } });
        respond(SdkBody::from(group.to_string()), "application/x-amz-json-1.1")
    }
}

/// The evidence on a group that lists the first of the alarms, and how often alarms were asked for.
async fn evidence(all: Vec<(String, Option<String>)>) -> (String, u32) {
    let alarms = Alarms {
        all,
        calls: Arc::default(),
    };
    let app = app_over(alarms.clone(), Hook::BeforeAllowTraffic);
    let subject = Subject {
        deployment: signalbox_decision::validation::preflight::Deployment {
            id: "d-1".to_owned(),
            function: FunctionName::new("app").unwrap(),
            alias: "live".to_owned(),
            version: "7".parse().unwrap(),
            is_rollback: false,
            overrides: signalbox_decision::validation::preflight::Override::None,
            made_by: String::new(),
        },
        application: "app".to_owned(),
        group: "app-live".to_owned(),
        old: None,
        all_at_once: true,
        since: Timestamp::now(),
    };
    let finding = check(&app, &Policy::default(), &subject).await.unwrap();
    let calls = *alarms.calls.lock().unwrap();
    (finding.evidence, calls)
}

fn alarm(name: &str, rule: Option<&str>) -> (String, Option<String>) {
    (name.to_owned(), rule.map(str::to_owned))
}

#[tokio::test]
async fn a_blind_alarm_is_found_on_every_level_and_a_circle_ends() {
    let (evidence, calls) = evidence(vec![
        alarm("whole", Some("ALARM(middle)")),
        alarm("middle", Some("ALARM(inner) OR OK(whole)")),
        alarm("inner", Some("ALARM(blind) AND ALARM(middle)")),
        alarm("blind", None),
    ])
    .await;
    assert!(
        evidence.contains("blind (part of inner) watches function another, not app"),
        "{evidence}"
    );
    assert_eq!(calls, 4);
}

#[tokio::test]
async fn alarms_beyond_the_bound_are_said_not_to_be_judged() {
    let rule = |at: usize| Some(format!("ALARM(a{})", at + 1));
    let (evidence, calls) = evidence((0..250).map(|at| (format!("a{at}"), rule(at))).collect()).await;
    assert!(
        evidence.contains("a200 (part of a199) cannot be judged"),
        "{evidence}"
    );
    assert_eq!(calls, 200);
}
