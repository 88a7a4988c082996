//! Functions' log lines: into a file that a person can read, and into CloudWatch Logs.
//!
//! Never on an invocation's path: lines go through bounded queues, and what does not fit is counted and
//! said, not waited for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use signalbox_local_core::{AwsError, Caller, Cloud};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Lines that may wait; a flood beyond is dropped, and counted.
const QUEUE: usize = 20_000;
/// How long lines are gathered for one `PutLogEvents`.
const GATHER: Duration = Duration::from_millis(200);
/// Below the API's limits of 10,000 events and 1 MB.
const BATCH_EVENTS: usize = 1000;
const BATCH_BYTES: usize = 900_000;
/// What `LogType=Tail` answers at most.
const TAIL: usize = 4096;
/// How long the end of the local cloud waits for lines that are not shipped yet.
const FINISH: Duration = Duration::from_secs(3);

struct Line {
    function: Arc<str>,
    group: Arc<str>,
    stream: Arc<str>,
    at: Timestamp,
    message: String,
}

/// Where lines go.
#[derive(Clone)]
pub(crate) struct LogSink {
    lines: mpsc::Sender<Line>,
    dropped: Arc<AtomicU64>,
}

/// The two background tasks behind the sink: files, and shipping.
pub(crate) struct LogTasks {
    end: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl LogTasks {
    /// Takes no more lines, and waits until what was logged has been written.
    pub(crate) async fn finish(self) {
        self.end.cancel();
        for mut task in self.tasks {
            if tokio::time::timeout(FINISH, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

/// Starts the tasks.
pub(crate) fn start(cloud: Arc<dyn Cloud>, directory: PathBuf) -> (LogSink, LogTasks) {
    let (lines, received) = mpsc::channel(QUEUE);
    let (onward, shipped) = mpsc::channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let end = CancellationToken::new();
    let writer = tokio::spawn(write_files(
        directory,
        received,
        onward,
        dropped.clone(),
        end.clone(),
    ));
    let shipper = tokio::spawn(ship(cloud, shipped));
    (
        LogSink { lines, dropped },
        LogTasks {
            end,
            tasks: vec![writer, shipper],
        },
    )
}

impl LogSink {
    fn send(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn write_files(
    directory: PathBuf,
    mut lines: mpsc::Receiver<Line>,
    onward: mpsc::Sender<Line>,
    dropped: Arc<AtomicU64>,
    end: CancellationToken,
) {
    if let Err(error) = tokio::fs::create_dir_all(&directory).await {
        tracing::warn!(%error, directory = %directory.display(), "functions' log files cannot be written");
    }
    let mut files: HashMap<Arc<str>, File> = HashMap::new();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = end.cancelled(), if !lines.is_closed() => {
                // What waits is still written; then the shipper ends as well.
                lines.close();
                continue;
            }
        };
        let Some(line) = line else { return };
        let text = format!("{} {}\n", line.at.strftime("%H:%M:%S.%3f"), line.message);
        if let Err(error) = append(&directory, &mut files, &line.function, &text).await {
            tracing::warn!(%error, function = %line.function, "a log line could not be written to the function's file");
            files.remove(&line.function);
        }
        if onward.try_send(line).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                lines = lost,
                "functions log faster than the local cloud stores: lines were dropped"
            );
        }
    }
}

async fn append(
    directory: &std::path::Path,
    files: &mut HashMap<Arc<str>, File>,
    function: &Arc<str>,
    text: &str,
) -> std::io::Result<()> {
    if !files.contains_key(function) {
        let path = directory.join(format!("{function}.log"));
        let file = tokio::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .await?;
        files.insert(function.clone(), file);
    }
    if let Some(file) = files.get_mut(function) {
        file.write_all(text.as_bytes()).await?;
        file.flush().await?;
    }
    Ok(())
}

async fn ship(cloud: Arc<dyn Cloud>, mut lines: mpsc::Receiver<Line>) {
    let mut known = HashSet::new();
    let mut batch = Vec::new();
    while lines.recv_many(&mut batch, BATCH_EVENTS).await > 0 {
        if batch.len() < BATCH_EVENTS && !lines.is_closed() {
            tokio::time::sleep(GATHER).await;
            while batch.len() < BATCH_EVENTS
                && let Ok(line) = lines.try_recv()
            {
                batch.push(line);
            }
        }
        let mut streams: BTreeMap<(Arc<str>, Arc<str>), Vec<Line>> = BTreeMap::new();
        for line in batch.drain(..) {
            streams
                .entry((line.group.clone(), line.stream.clone()))
                .or_default()
                .push(line);
        }
        for ((group, stream), lines) in streams {
            for part in parts(&lines) {
                if let Err(error) = put(cloud.as_ref(), &mut known, &group, &stream, part).await {
                    tracing::warn!(%error, log.group = %group, lines = part.len(), "log lines could not be stored");
                }
            }
        }
    }
}

/// Cuts lines into portions that one call takes.
fn parts(lines: &[Line]) -> Vec<&[Line]> {
    let mut found = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, line) in lines.iter().enumerate() {
        if bytes > 0 && bytes + line.message.len() + 26 > BATCH_BYTES {
            found.push(&lines[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += line.message.len() + 26;
    }
    found.push(&lines[from..]);
    found
}

async fn put(
    cloud: &dyn Cloud,
    known: &mut HashSet<(Arc<str>, Arc<str>)>,
    group: &Arc<str>,
    stream: &Arc<str>,
    lines: &[Line],
) -> Result<(), AwsError> {
    const MISSING: &str = "ResourceNotFoundException";
    let caller = Caller::service("lambda.amazonaws.com");
    let key = (group.clone(), stream.clone());
    let events: Vec<_> = lines
        .iter()
        .map(|line| json!({ "timestamp": line.at.as_millisecond(), "message": line.message }))
        .collect();
    let input = json!({ "logGroupName": &**group, "logStreamName": &**stream, "logEvents": events });
    if known.contains(&key) {
        match cloud.call(&caller, "logs", "PutLogEvents", input.clone()).await {
            Err(error) if error.code == MISSING => {}
            other => return other.map(|_| ()),
        }
    }
    let exists = |result: Result<_, AwsError>| match result {
        Err(error) if error.code != "ResourceAlreadyExistsException" => Err(error),
        _ => Ok(()),
    };
    let named = json!({ "logGroupName": &**group, "logStreamName": &**stream });
    let made = cloud
        .call(&caller, "logs", "CreateLogStream", named.clone())
        .await;
    match exists(made) {
        Err(error) if error.code == MISSING => {
            // As in AWS, the next lines make a group again that somebody deleted; not those of a function that is
            // gone as well, which would outlive the stack of both.
            let function = lines
                .first()
                .map(|line| json!({ "FunctionName": &*line.function }));
            let known = cloud
                .call(
                    &caller,
                    "lambda",
                    "GetFunctionConfiguration",
                    function.unwrap_or_default(),
                )
                .await;
            if known.is_err_and(|error| error.code == MISSING) {
                return Ok(());
            }
            let group = json!({ "logGroupName": &**group });
            exists(cloud.call(&caller, "logs", "CreateLogGroup", group).await)?;
            exists(cloud.call(&caller, "logs", "CreateLogStream", named).await)?;
        }
        other => other?,
    }
    known.insert(key);
    cloud
        .call(&caller, "logs", "PutLogEvents", input)
        .await
        .map(|_| ())
}

/// One environment's log stream, and the tail of the invocation it is busy with.
pub(crate) struct Journal {
    sink: LogSink,
    function: Arc<str>,
    group: Arc<str>,
    /// `YYYY/MM/DD/[version]hex`, as AWS names them.
    pub(crate) stream: Arc<str>,
    tail: Mutex<Vec<u8>>,
}

impl Journal {
    pub(crate) fn new(sink: LogSink, function: &str, group: &str, version: &str, now: Timestamp) -> Self {
        let id = uuid::Uuid::new_v4().simple();
        let stream = format!("{}/[{version}]{id}", now.strftime("%Y/%m/%d"));
        Self {
            sink,
            function: Arc::from(function),
            group: Arc::from(group),
            stream: Arc::from(stream),
            tail: Mutex::default(),
        }
    }

    /// A line of the function, or of the service about it, without its end.
    pub(crate) fn line(&self, message: &str) {
        if message.is_empty() {
            return;
        }
        {
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend_from_slice(message.as_bytes());
            tail.push(b'\n');
            let excess = tail.len().saturating_sub(TAIL);
            // Shortened seldom, so that many lines do not move the same bytes again and again.
            if excess > TAIL {
                tail.drain(..excess);
            }
        }
        self.sink.send(Line {
            function: self.function.clone(),
            group: self.group.clone(),
            stream: self.stream.clone(),
            at: Timestamp::now(),
            message: message.to_owned(),
        });
    }

    /// Forgets the tail: an invocation begins.
    pub(crate) fn begin(&self) {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The last 4 KB since the beginning of the invocation.
    pub(crate) fn tail(&self) -> Vec<u8> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail[tail.len().saturating_sub(TAIL)..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use serde_json::Value;
    use signalbox_local_core::testing::{Recorded, TestCloud};

    use super::*;

    /// The logs calls of lines that find no group; whether their function is still there.
    async fn calls(function_is_there: bool) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let has_group = AtomicBool::new(false);
        let missing = || Err(AwsError::new("ResourceNotFoundException", "There is none."));
        let answer = move |call: &Recorded| match call.operation.as_str() {
            "GetFunctionConfiguration" if !function_is_there => missing(),
            "CreateLogStream" if !has_group.load(Ordering::Relaxed) => missing(),
            "CreateLogGroup" => {
                has_group.store(true, Ordering::Relaxed);
                Ok(Value::Null)
            }
            _ => Ok(Value::Null),
        };
        let cloud = TestCloud::answering(directory.path(), answer);
        let (group, stream) = (Arc::from("/aws/lambda/f"), Arc::from("s"));
        let line = Line {
            function: Arc::from("f"),
            group: Arc::clone(&group),
            stream: Arc::clone(&stream),
            at: Timestamp::UNIX_EPOCH,
            message: "the last words".to_owned(),
        };
        put(cloud.as_ref(), &mut HashSet::new(), &group, &stream, &[line])
            .await
            .unwrap();
        let logs = cloud.calls().into_iter().filter(|call| call.service == "logs");
        logs.map(|call| call.operation).collect()
    }

    #[tokio::test]
    async fn lines_make_a_group_that_is_missing() {
        let all = [
            "CreateLogStream",
            "CreateLogGroup",
            "CreateLogStream",
            "PutLogEvents",
        ];
        assert_eq!(calls(true).await, all);
    }

    #[tokio::test]
    async fn the_last_lines_of_a_function_that_is_gone_make_no_group() {
        assert_eq!(calls(false).await, ["CreateLogStream"]);
    }
}
