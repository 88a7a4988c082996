//! Every protocol, in both directions, by small models made for the purpose: `tests/data`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use signalbox_local_core::AwsError;
use signalbox_local_wire::{
    Decoded, Element, Model, ModelError, Models, Protocol, decode, decode_response, encode, encode_request,
};

fn model(service: &str) -> Model {
    Model::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"), service).unwrap()
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn text(response: &Response<Bytes>) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// What the crate's own client sends, as a server receives it.
fn sent(model: &Model, operation: &str, input: &Value) -> (Parts, Vec<u8>) {
    let outgoing = encode_request(model, operation, input).unwrap();
    let mut builder = Request::builder().method(outgoing.method).uri(outgoing.path);
    for (name, value) in outgoing.headers {
        builder = builder.header(name, value);
    }
    (builder.body(()).unwrap().into_parts().0, outgoing.body)
}

fn entry() -> Value {
    json!({
        "name": "rent", "kind": "Open", "secret": "hush", "size": 3, "amount": 1.5, "flag": true,
        "data": "AAH/", "at": 1_767_323_045.678, "names": ["a", "b"], "labels": {"k": "v"},
        "lines": [{"name": "x", "amount": 2.0}, {"name": "y"}],
    })
}

fn output() -> Value {
    json!({
        "id": "<1>", "kind": "Closed", "amount": 1.5, "count": 2, "flag": false, "data": "AAH/",
        "at": 1_767_323_045.678, "names": ["a"], "labels": {"k": "v&w"}, "lines": [{"name": "x", "amount": 2.0}],
    })
}

#[test]
fn json_arrives_and_returns_as_it_was_sent() {
    let model = model("ledgers");
    let (parts, body) = sent(&model, "PutEntry", &entry());
    let decoded = decode(&model, &parts, &body).unwrap();
    assert_eq!(
        decoded,
        Decoded {
            operation: "PutEntry".into(),
            input: entry(),
            protocol: Protocol::Json { minor: 1 }
        }
    );

    let answer = encode(&model, "PutEntry", Ok(&output()), decoded.protocol, "r-1");
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "content-type")),
        (200, "application/x-amz-json-1.1")
    );
    assert_eq!(header(&answer, "x-amzn-requestid"), "r-1");
    let read = decode_response(&model, "PutEntry", 200, answer.headers(), answer.body()).unwrap();
    assert_eq!(read, output());
}

#[test]
fn json_drops_what_the_model_does_not_know_and_refuses_wrong_types() {
    let model = model("ledgers");
    let parts = request(
        "POST",
        "/",
        &[
            ("x-amz-target", "Ledgers_20260101.PutEntry"),
            ("content-type", "application/x-amz-json-1.0"),
        ],
    );
    let decoded = decode(
        &model,
        &parts,
        br#"{"name": "a", "new": 1, "kind": null, "size": 2.0}"#,
    )
    .unwrap();
    assert_eq!(
        (decoded.input, decoded.protocol),
        (json!({"name": "a", "size": 2}), Protocol::Json { minor: 0 })
    );
    for body in [
        r#"{"name": 1}"#,
        r#"{"size": 1.5}"#,
        r#"{"data": "%"}"#,
        r#"{"lines": {}}"#,
        "[]",
        "{",
    ] {
        let error = decode(&model, &parts, body.as_bytes()).unwrap_err();
        assert_eq!(error.code, "SerializationException", "{body}");
    }
}

#[test]
fn a_members_own_time_format_is_kept() {
    let model = model("ledgers");
    let value = json!({"id": "1", "iso": 1_767_323_045.678});
    let answer = encode(&model, "PutEntry", Ok(&value), Protocol::Json { minor: 1 }, "r");
    assert!(
        text(&answer).contains("\"2026-01-02T03:04:05.678Z\""),
        "{}",
        text(&answer)
    );
}

#[test]
fn cbor_arrives_and_returns_as_it_was_sent() {
    let model = model("ledgers");
    // The same structures serve for both directions: an answer's bytes are a request's.
    let answer = encode(&model, "PutEntry", Ok(&output()), Protocol::Cbor, "r");
    assert_eq!(header(&answer, "smithy-protocol"), "rpc-v2-cbor");
    let parts = request(
        "POST",
        "/service/Ledgers_20260101/operation/PutEntry",
        &[
            ("smithy-protocol", "rpc-v2-cbor"),
            ("content-type", "application/cbor"),
        ],
    );
    let decoded = decode(&model, &parts, answer.body()).unwrap();
    assert_eq!(
        (decoded.operation.as_str(), decoded.protocol),
        ("PutEntry", Protocol::Cbor)
    );
    let mut expected = output();
    for only_in_outputs in ["id", "count"] {
        expected.as_object_mut().unwrap().remove(only_in_outputs);
    }
    assert_eq!(decoded.input, expected);
    assert!(decode(&model, &parts, b"\xff").is_err());
    assert_eq!(decode(&model, &parts, b"").unwrap().input, json!({}));
}

#[test]
fn numbers_that_json_lacks_are_spelled() {
    let model = model("ledgers");
    let parts = request(
        "POST",
        "/service/x/operation/PutEntry",
        &[("smithy-protocol", "rpc-v2-cbor")],
    );
    // {"amount": NaN}, with a half float.
    let decoded = decode(&model, &parts, b"\xa1\x66amount\xf9\x7e\x00").unwrap();
    assert_eq!(decoded.input, json!({"amount": "NaN"}));
}

#[test]
fn an_error_goes_by_the_name_that_each_protocol_uses() {
    let model = model("ledgers");
    let error = AwsError::new("EntryExists", "there <already>");
    let json = encode(&model, "PutEntry", Err(&error), Protocol::Json { minor: 1 }, "r");
    assert_eq!(json.status().as_u16(), 409);
    let body: Value = serde_json::from_slice(json.body()).unwrap();
    assert_eq!(
        body,
        json!({"__type": "EntryExistsException", "message": "there <already>"})
    );
    assert_eq!(header(&json, "x-amzn-query-error"), "EntryExists;Sender");

    let query = encode(&model, "PutEntry", Err(&error), Protocol::Query, "r");
    let root = Element::parse(&text(&query)).unwrap();
    assert_eq!(root.child("Error").unwrap().child_text("Code"), "EntryExists");
    assert_eq!(
        root.child("Error").unwrap().child_text("Message"),
        "there <already>"
    );

    let cbor = encode(&model, "PutEntry", Err(&error), Protocol::Cbor, "r");
    assert!(
        cbor.body()
            .windows(20)
            .any(|window| window == b"EntryExistsException")
    );
}

#[test]
fn the_client_reads_errors_of_every_protocol() {
    let model = model("ledgers");
    let error = AwsError::new("EntryExistsException", "there");
    for protocol in [Protocol::Json { minor: 1 }, Protocol::RestJson, Protocol::Query] {
        let answer = encode(&model, "PutEntry", Err(&error), protocol, "r");
        let read = decode_response(&model, "PutEntry", 409, answer.headers(), answer.body()).unwrap_err();
        assert!(
            read.code.starts_with("EntryExists"),
            "{protocol:?}: {}",
            read.code
        );
        assert_eq!((read.message.as_str(), read.status), ("there", 409));
    }
    let nothing = decode_response(&model, "PutEntry", 503, &HeaderMap::new(), &Bytes::new()).unwrap_err();
    assert_eq!(nothing.code, "Http503");
}

#[test]
fn compressed_bodies_are_unpacked() {
    use std::io::Write as _;
    let model = model("ledgers");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(b"Action=PutEntry&name=rent").unwrap();
    let parts = request(
        "POST",
        "/",
        &[
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-encoding", "gzip"),
        ],
    );
    let decoded = decode(&model, &parts, &packer.finish().unwrap()).unwrap();
    assert_eq!(
        (decoded.input, decoded.protocol),
        (json!({"name": "rent"}), Protocol::Query)
    );
    assert!(decode(&model, &parts, b"Action=PutEntry").is_err());
}

fn letter() -> Value {
    json!({
        "Topic": "a&b=c d+é", "At": 1_767_323_045, "Urgent": true, "Count": 3, "To": ["x", "y"], "Cc": ["z"],
        "Pieces": ["1", "2"], "Attributes": {"approver": {"Type": "String", "Text": "ada"}}, "Plain": {"k": "v"},
        "Items": [{"Type": "t", "Text": "u"}],
    })
}

#[test]
fn forms_arrive_as_they_were_sent() {
    let model = model("mailing");
    let (parts, body) = sent(&model, "Send", &letter());
    let form = String::from_utf8(body.clone()).unwrap();
    for name in [
        "To.member.1",
        "Cc.Address.1",
        "Piece.2",
        "Attributes.entry.1.key",
        "Plain.1.Name",
        "Items.member.1.Text",
    ] {
        assert!(form.contains(&format!("{name}=")), "{name} in {form}");
    }
    let decoded = decode(&model, &parts, &body).unwrap();
    assert_eq!((decoded.input, decoded.protocol), (letter(), Protocol::Query));
}

#[test]
fn a_list_keeps_its_numbers_order_and_may_be_empty() {
    let model = model("mailing");
    let parts = request(
        "POST",
        "/",
        &[("content-type", "application/x-www-form-urlencoded")],
    );
    let decoded = decode(
        &model,
        &parts,
        b"Action=Send&To.member.10=c&To.member.2=b&To.member.1=a&Cc=",
    )
    .unwrap();
    assert_eq!(decoded.input, json!({"To": ["a", "b", "c"], "Cc": []}));
    let deep = format!("Action=Send&{}=1", ["To"; 100].join("."));
    assert_eq!(
        decode(&model, &parts, deep.as_bytes()).unwrap_err().code,
        "MalformedInput"
    );
    assert_eq!(
        decode(&model, &parts, b"Action=Send&Count=many")
            .unwrap_err()
            .code,
        "MalformedInput"
    );
}

#[test]
fn xml_returns_as_it_was_answered() {
    let model = model("mailing");
    let mut value = letter();
    value.as_object_mut().unwrap().remove("Topic");
    value["Id"] = json!("<id>\r\n\"'&");
    let answer = encode(&model, "Send", Ok(&value), Protocol::Query, "r-9");
    let root = Element::parse(&text(&answer)).unwrap();
    assert_eq!(root.name, "SendResponse");
    assert_eq!(
        root.child("ResponseMetadata").unwrap().child_text("RequestId"),
        "r-9"
    );
    assert_eq!(
        decode_response(&model, "Send", 200, answer.headers(), answer.body()).unwrap(),
        value
    );
    // No output, no result element; and what XML cannot hold does not break the document.
    assert!(
        Element::parse(&text(&encode(
            &model,
            "Stop",
            Ok(&json!({})),
            Protocol::Query,
            "r"
        )))
        .is_ok()
    );
    let odd = encode(
        &model,
        "Send",
        Ok(&json!({"Id": "\u{1b}[31m\u{0}"})),
        Protocol::Query,
        "r",
    );
    let read = decode_response(&model, "Send", 200, odd.headers(), odd.body()).unwrap();
    assert_eq!(read["Id"], "\u{fffd}[31m\u{fffd}");
}

#[test]
fn unknown_operations_are_refused_as_each_protocol_does() {
    let form = request(
        "POST",
        "/",
        &[("content-type", "application/x-www-form-urlencoded")],
    );
    let mailing = model("mailing");
    assert_eq!(
        decode(&mailing, &form, b"Action=Nope").unwrap_err().code,
        "InvalidAction"
    );
    assert_eq!(decode(&mailing, &form, b"").unwrap_err().code, "MissingAction");
    let json = request("POST", "/", &[("x-amz-target", "Ledgers_20260101.Nope")]);
    assert_eq!(
        decode(&model("ledgers"), &json, b"{}").unwrap_err().code,
        "UnknownOperationException"
    );
    let rest = request("GET", "/2026-01-01/nothing", &[]);
    assert_eq!(decode(&model("callables"), &rest, b"").unwrap_err().status, 404);
}

#[test]
fn rest_reads_path_query_headers_and_raw_bodies() {
    let model = model("callables");
    let input = json!({"Thing": "arn:aws:x/ü:live", "Mode": "Event", "Qualifier": "a b", "Payload": "AAH/"});
    let (parts, body) = sent(&model, "Call", &input);
    assert_eq!(
        parts.uri.path(),
        "/2026-01-01/things/arn%3Aaws%3Ax%2F%C3%BC%3Alive/calls"
    );
    let decoded = decode(&model, &parts, &body).unwrap();
    assert_eq!((decoded.operation.as_str(), decoded.input), ("Call", input));
    let empty = decode(&model, &parts, b"").unwrap();
    assert_eq!(empty.input.get("Payload"), None);
}

#[test]
fn rest_answers_with_status_headers_and_raw_bodies() {
    let model = model("callables");
    let value = json!({"StatusCode": 202, "Version": "3", "Payload": "AAH/"});
    let answer = encode(&model, "Call", Ok(&value), Protocol::RestJson, "r");
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "x-version")),
        (202, "3")
    );
    assert_eq!(answer.body().as_ref(), [0, 1, 255]);
    assert_eq!(
        decode_response(&model, "Call", 202, answer.headers(), answer.body()).unwrap(),
        value
    );
}

#[test]
fn the_most_literal_path_wins() {
    let model = model("callables");
    let name = |uri: &str| decode(&model, &request("GET", uri, &[]), b"").unwrap().operation;
    assert_eq!(name("/2026-01-01/things/special"), "GetSpecial");
    assert_eq!(name("/2026-01-01/things/other/"), "GetThing");
    let decoded = decode(
        &model,
        &request("GET", "/2026-01-01/things/t?tag=a&tag=b&max=3", &[]),
        b"",
    )
    .unwrap();
    assert_eq!(decoded.input, json!({"Thing": "t", "Tags": ["a", "b"], "Max": 3}));
    let error = decode(&model, &request("GET", "/2026-01-01/things/t?max=x", &[]), b"").unwrap_err();
    assert_eq!(error.code, "SerializationException");
}

#[test]
fn rest_bodies_use_the_members_wire_names() {
    let model = model("callables");
    let input = json!({"Thing": "t", "Size": 3, "Note": "n"});
    let (parts, body) = sent(&model, "PutThing", &input);
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        json!({"Size": 3, "note": "n"})
    );
    assert_eq!(decode(&model, &parts, &body).unwrap().input, input);
    let answer = encode(
        &model,
        "PutThing",
        Ok(&json!({"Name": "t", "Made": 1.5})),
        Protocol::RestJson,
        "r",
    );
    assert_eq!(
        (answer.status().as_u16(), text(&answer).as_str()),
        (202, r#"{"Made":1.5,"Name":"t"}"#)
    );
}

#[test]
fn a_rest_error_has_its_own_status_and_type() {
    let model = model("callables");
    let error = AwsError::new("ThingNotFoundException", "gone");
    let answer = encode(&model, "GetThing", Err(&error), Protocol::RestJson, "r");
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "x-amzn-errortype")),
        (404, "ThingNotFoundException")
    );
    assert_eq!(text(&answer), r#"{"Message":"gone","Type":"User"}"#);
}

#[test]
fn the_client_writes_and_reads_rest_xml() {
    let model = model("shelves");
    let input = json!({"Shelf": "s", "RuleSet": {"Rules": [{"Id": "a<"}, {"Id": "b"}]}});
    let (parts, body) = sent(&model, "PutRules", &input);
    assert_eq!(parts.uri, "/s?rules");
    let root = Element::parse(&String::from_utf8(body).unwrap()).unwrap();
    assert_eq!(
        (root.name.as_str(), root.children.len()),
        ("RuleConfiguration", 2)
    );
    assert_eq!(
        (root.children[0].name.as_str(), root.children[0].child_text("Id")),
        ("Rule", "a<")
    );

    let (parts, _) = sent(&model, "GetBook", &json!({"Shelf": "s", "Key": "a b/ü"}));
    assert_eq!(parts.uri.path(), "/s/a%20b/%C3%BC");
    let mut headers = HeaderMap::new();
    headers.insert("x-version", "7".parse().unwrap());
    headers.insert("x-meta-branch", "main".parse().unwrap());
    headers.insert("last-modified", "Fri, 02 Jan 2026 03:04:05 GMT".parse().unwrap());
    let read = decode_response(&model, "GetBook", 200, &headers, &Bytes::from_static(b"hi")).unwrap();
    let expected =
        json!({"Body": "aGk=", "Version": "7", "Metadata": {"branch": "main"}, "Changed": 1_767_323_045});
    assert_eq!(read, expected);
    let missing = Bytes::from_static(b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>");
    let error = decode_response(&model, "GetBook", 404, &HeaderMap::new(), &missing).unwrap_err();
    assert_eq!((error.code.as_str(), error.status), ("NoSuchKey", 404));
}

#[test]
fn models_are_found_or_named_as_missing() {
    let models = Models::new(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    assert_eq!(models.get("callables").unwrap().signing_name(), "calls");
    assert_eq!(
        models.get("ledgers").unwrap().target_prefix(),
        Some("Ledgers_20260101")
    );
    let error = models.get("nowhere").unwrap_err();
    assert!(matches!(&error, ModelError::Missing { .. }) && error.to_string().contains("nowhere"));
}

#[test]
fn broken_documents_are_refused() {
    for document in [
        "",
        "<a>",
        "<a></b>",
        "no markup",
        "<a>&undeclared;</a>",
        &"<a>".repeat(100),
    ] {
        assert!(Element::parse(document).is_err(), "{document}");
    }
}
