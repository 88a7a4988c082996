//! AWS's service models, as botocore ships them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use flate2::read::GzDecoder;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use thiserror::Error;

use crate::unlisted::{Seen, Unlisted};

/// A model that cannot be used.
#[derive(Debug, Error)]
pub enum ModelError {
    /// There is no model of that service in the data directory.
    #[error("no model of the service {service:?} under {}: is the data directory botocore's?", data.display())]
    Missing {
        /// Botocore's name of the service.
        service: String,
        /// Where it was sought.
        data: PathBuf,
    },
    /// The file could not be read.
    #[error("the service model {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no service model.
    #[error("the service model {} is malformed: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was wrong in it.
        why: String,
    },
}

/// What kind of value a shape describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Structure,
    List,
    Map,
    #[serde(alias = "character")]
    String,
    Blob,
    Boolean,
    #[serde(alias = "byte", alias = "short", alias = "biginteger")]
    Integer,
    Long,
    #[serde(alias = "bigdecimal")]
    Double,
    Float,
    Timestamp,
}

/// Where a member travels in a REST protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Location {
    #[serde(rename = "uri")]
    Uri,
    #[serde(rename = "querystring")]
    Query,
    #[serde(rename = "header")]
    Header,
    #[serde(rename = "headers")]
    Headers,
    #[serde(rename = "statusCode")]
    StatusCode,
}

/// A reference to a shape, from a structure, a list or a map.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Member {
    pub(crate) shape: String,
    pub(crate) location: Option<Location>,
    pub(crate) location_name: Option<String>,
    #[serde(default)]
    pub(crate) flattened: bool,
    pub(crate) timestamp_format: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorTrait {
    pub(crate) code: Option<String>,
    pub(crate) http_status_code: Option<u16>,
}

/// One shape of a model.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shape {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) members: BTreeMap<String, Member>,
    #[serde(default)]
    pub(crate) required: Vec<String>,
    pub(crate) member: Option<Member>,
    pub(crate) key: Option<Member>,
    pub(crate) value: Option<Member>,
    #[serde(default)]
    pub(crate) flattened: bool,
    #[serde(rename = "enum", default)]
    pub(crate) values: Vec<String>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) pattern: Option<String>,
    #[serde(default)]
    pub(crate) sensitive: bool,
    /// The member that is the whole HTTP body.
    pub(crate) payload: Option<String>,
    #[serde(default)]
    pub(crate) fault: bool,
    pub(crate) error: Option<ErrorTrait>,
    pub(crate) timestamp_format: Option<String>,
    /// Any JSON.
    #[serde(default)]
    pub(crate) document: bool,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

impl Shape {
    /// The shape's pattern, matched against whole values as AWS does. `None` where the model has none,
    /// and where it uses what this crate's regular expressions refuse (look-around): such a rule is not
    /// checked, rather than checked wrongly.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| self.pattern.as_deref().and_then(compile))
            .as_ref()
    }
}

/// Models are written for Java, where characters past U+FFFF are pairs of surrogates.
fn compile(pattern: &str) -> Option<Regex> {
    let pattern = pattern
        .replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\x{10000}-\x{10FFFF}")
        .replace(r"\ud800\udc00-\udbff\udfff", r"\x{10000}-\x{10FFFF}");
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .size_limit(4 << 20)
        .build()
        .ok()
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Http {
    pub(crate) method: String,
    #[serde(rename = "requestUri")]
    pub(crate) uri: String,
    #[serde(rename = "responseCode")]
    pub(crate) status: Option<u16>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ShapeRef {
    pub(crate) shape: String,
    #[serde(rename = "resultWrapper")]
    pub(crate) wrapper: Option<String>,
}

/// One operation of a service.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Operation {
    pub(crate) http: Http,
    pub(crate) input: Option<ShapeRef>,
    pub(crate) output: Option<ShapeRef>,
    #[serde(default)]
    pub(crate) errors: Vec<ShapeRef>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) api_version: String,
    pub(crate) endpoint_prefix: String,
    pub(crate) signing_name: Option<String>,
    pub(crate) protocol: String,
    #[serde(default)]
    pub(crate) protocols: Vec<String>,
    pub(crate) json_version: Option<String>,
    pub(crate) target_prefix: Option<String>,
    pub(crate) xml_namespace: Option<Namespace>,
    /// Present where a service moved from `query` to JSON or CBOR and keeps its old error codes.
    pub(crate) aws_query_compatible: Option<serde_json::Value>,
}

/// Some models write the namespace as text, others as an object.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Namespace {
    Text(String),
    Object { uri: String },
}

impl Namespace {
    pub(crate) fn uri(&self) -> &str {
        match self {
            Self::Text(uri) | Self::Object { uri } => uri,
        }
    }
}

#[derive(Debug, Deserialize)]
struct File {
    metadata: Metadata,
    operations: HashMap<String, Operation>,
    shapes: HashMap<String, Shape>,
}

/// One service's model.
#[derive(Debug)]
pub struct Model {
    pub(crate) service: String,
    pub(crate) metadata: Metadata,
    pub(crate) operations: HashMap<String, Operation>,
    shapes: HashMap<String, Shape>,
}

/// Stands in for a shape that a member names and the file lacks; `Model::parse` refuses such files.
static NOTHING: LazyLock<Shape> = LazyLock::new(|| Shape {
    kind: Kind::Structure,
    members: BTreeMap::new(),
    required: Vec::new(),
    member: None,
    key: None,
    value: None,
    flattened: false,
    values: Vec::new(),
    min: None,
    max: None,
    pattern: None,
    sensitive: false,
    payload: None,
    fault: false,
    error: None,
    timestamp_format: None,
    document: true,
    compiled: OnceLock::new(),
});

impl Model {
    /// Loads the newest model of a service from botocore's data directory.
    ///
    /// # Errors
    /// The model is missing, unreadable, or no service model.
    pub fn load(data_dir: &Path, service: &str) -> Result<Self, ModelError> {
        let missing = || ModelError::Missing {
            service: service.to_owned(),
            data: data_dir.to_owned(),
        };
        let folder = data_dir.join(service);
        let dates = fs::read_dir(&folder).map_err(|_| missing())?;
        let newest = dates
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.join("service-2.json.gz").is_file() || path.join("service-2.json").is_file())
            .max()
            .ok_or_else(missing)?;
        let packed = newest.join("service-2.json.gz");
        let (path, text) = if packed.is_file() {
            let unreadable = |source| ModelError::Unreadable {
                path: packed.clone(),
                source,
            };
            let file = fs::read(&packed).map_err(unreadable)?;
            let mut text = Vec::new();
            GzDecoder::new(file.as_slice())
                .read_to_end(&mut text)
                .map_err(unreadable)?;
            (packed, text)
        } else {
            let plain = newest.join("service-2.json");
            let text = fs::read(&plain).map_err(|source| ModelError::Unreadable {
                path: plain.clone(),
                source,
            })?;
            (plain, text)
        };
        Self::parse(service, &text).map_err(|why| ModelError::Malformed { path, why })
    }

    fn parse(service: &str, text: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let model = Self {
            service: service.to_owned(),
            metadata: file.metadata,
            operations: file.operations,
            shapes: file.shapes,
        };
        for (name, shape) in &model.shapes {
            let refs = shape
                .members
                .values()
                .chain(&shape.member)
                .chain(&shape.key)
                .chain(&shape.value);
            for member in refs {
                if !model.shapes.contains_key(&member.shape) {
                    return Err(format!(
                        "the shape {name} refers to {}, which is not there",
                        member.shape
                    ));
                }
            }
        }
        Ok(model)
    }

    /// Botocore's name of the service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The name under which requests to the service are signed, for example `monitoring`.
    #[must_use]
    pub fn signing_name(&self) -> &str {
        self.metadata
            .signing_name
            .as_deref()
            .unwrap_or(&self.metadata.endpoint_prefix)
    }

    /// What precedes the operation in `X-Amz-Target`, for example `CodePipeline_20150709`.
    #[must_use]
    pub fn target_prefix(&self) -> Option<&str> {
        self.metadata.target_prefix.as_deref()
    }

    /// Whether the service has the operation.
    #[must_use]
    pub fn has_operation(&self, operation: &str) -> bool {
        self.operations.contains_key(operation)
    }

    /// Every operation's name, sorted.
    #[must_use]
    pub fn operation_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.operations.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn shape(&self, name: &str) -> &Shape {
        self.shapes.get(name).unwrap_or(&NOTHING)
    }

    pub(crate) fn find_shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.get(name)
    }

    /// The error shape that a code names, by its own name or by the code that `query` services use.
    pub(crate) fn error_shape(&self, code: &str) -> Option<(&str, &Shape)> {
        let by_code = |(_, shape): &(&String, &Shape)| {
            shape.error.as_ref().and_then(|error| error.code.as_deref()) == Some(code)
        };
        self.shapes
            .get_key_value(code)
            .filter(|(_, shape)| shape.kind == Kind::Structure)
            .or_else(|| self.shapes.iter().find(by_code))
            .map(|(name, shape)| (name.as_str(), shape))
    }

    pub(crate) fn input_shape(&self, operation: &str) -> Option<&Shape> {
        self.operations
            .get(operation)?
            .input
            .as_ref()
            .map(|input| self.shape(&input.shape))
    }

    pub(crate) fn output_shape(&self, operation: &str) -> Option<&Shape> {
        self.operations
            .get(operation)?
            .output
            .as_ref()
            .map(|output| self.shape(&output.shape))
    }
}

/// The models of one data directory, each loaded when it is first asked for.
#[derive(Debug)]
pub struct Models {
    data_dir: PathBuf,
    loaded: Mutex<HashMap<String, Arc<Model>>>,
    unlisted: Seen,
}

impl Models {
    /// Models under botocore's `data` directory.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            loaded: Mutex::default(),
            unlisted: Seen::default(),
        }
    }

    /// Keeps in mind that a service answered an error that its model does not list ([`lists_error`]), for
    /// whoever asks at the end: a log line of it is easily overlooked.
    ///
    /// [`lists_error`]: crate::lists_error
    pub fn note_unlisted(&self, one: Unlisted) {
        self.unlisted.note(one);
    }

    /// Every answer that was noted so, each once, sorted.
    #[must_use]
    pub fn unlisted(&self) -> Vec<Unlisted> {
        self.unlisted.all()
    }

    /// The newest model of a service.
    ///
    /// # Errors
    /// The model is missing, unreadable, or no service model.
    pub fn get(&self, service: &str) -> Result<Arc<Model>, ModelError> {
        let found = self
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(service)
            .cloned();
        if let Some(model) = found {
            return Ok(model);
        }
        let model = Arc::new(Model::load(&self.data_dir, service)?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(loaded.entry(service.to_owned()).or_insert(model)))
    }
}
