//! A data folder in an object store: S3 and what speaks its protocol, or Azure Blob.
//!
//! ```text
//! put_if_absent   PUT, If-None-Match: * ─┬─ done ─► Written
//!                                        ├─ exists ─► GET: ours, an answer was lost ─► Written
//!                                        │                 another's ─► Taken   nothing ─► again
//!                                        └─ no answer, 5xx, 429 ─► again, the same bytes
//! publish         GET the staged object ─► put_if_absent ─► Taken: GET and compare
//! ```
//! Calls wait; the requests themselves run on one thread of the store's own. Each call tries for
//! a few seconds and then reports the store as away: those who call know how to wait.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
};

use super::{Blobs, Put};
use crate::error::StoreError;
use crate::key;

mod attempts;
mod engine;
mod location;
mod probe;
mod wire;

use attempts::{Attempts, answered, answered_within, retried, upload_limit};
use engine::Engine;
use location::Location;
pub use location::{REMOTE_SCHEMES, check_remote_url, is_remote};

/// A data folder in an object store.
pub struct RemoteStore {
    /// As it was given, for messages.
    url: String,
    /// Where keys begin in the bucket; empty, or without `/` at its ends.
    prefix: String,
    client: Arc<dyn ObjectStore>,
    engine: Engine,
    access: Access,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Write,
    Read,
}

impl fmt::Debug for RemoteStore {
    /// The client knows secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RemoteStore").field("url", &self.url).finish_non_exhaustive()
    }
}

impl RemoteStore {
    /// Opens the folder for writing, once the store has proven that it refuses a second put.
    ///
    /// `url` is `s3://bucket/prefix` or `az://container/prefix`; `environment` holds credentials
    /// and settings in the names that the vendors' own tools use (`AWS_*`, `AZURE_*`). `nonce` is
    /// fresh for each call: it names the object of the proof, which is removed.
    pub fn open(
        url: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        nonce: &str,
    ) -> Result<Self, StoreError> {
        let store = Self::connect(url, environment, Access::Write)?;
        store.look()?;
        probe::prove_put_if_absent(&store, nonce)?;
        Ok(store)
    }

    /// Opens the folder for reading; every write is refused.
    pub fn open_read_only(
        url: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, StoreError> {
        let store = Self::connect(url, environment, Access::Read)?;
        store.look()?;
        Ok(store)
    }

    /// One list, so that a bucket that is not there is not taken for an empty one.
    fn look(&self) -> Result<(), StoreError> {
        let folder = self.path(key::IDENTITY);
        let looked = self.run("open", "", |client| async move {
            retried(|| answered(async { client.list(Some(&folder)).try_next().await })).await
        });
        looked.map(|_| ()).map_err(|error| location::explained(&self.url, error))
    }

    fn connect(
        url: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        access: Access,
    ) -> Result<Self, StoreError> {
        let bad = |what| StoreError::BadUrl { url: url.to_owned(), what };
        let location = Location::parse(url).map_err(bad)?;
        let client = location.connect(environment)?;
        let engine = Engine::start().map_err(|source| StoreError::Unavailable {
            action: "start the client of",
            key: url.to_owned(),
            source: source.into(),
        })?;
        Ok(Self { url: url.to_owned(), prefix: location.prefix, client, engine, access })
    }

    fn path(&self, key: &str) -> Path {
        assert!(key::is_sound(key), "A10: `{key}` is no key");
        // Sound keys need no escaping, and `%` must stay as it is.
        let full =
            if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        Path::parse(full).unwrap_or_else(|error| panic!("A10: `{key}` is no key: {error}"))
    }

    /// The key of an object that a list has named.
    fn key_of(&self, path: &Path) -> Option<String> {
        let path = path.as_ref();
        if self.prefix.is_empty() {
            return Some(path.to_owned());
        }
        path.strip_prefix(&self.prefix)?.strip_prefix('/').map(str::to_owned)
    }

    /// Runs one call to its end on the store's thread.
    fn run<T, F>(
        &self,
        action: &'static str,
        key: &str,
        call: impl FnOnce(Arc<dyn ObjectStore>) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let url = self.url.trim_end_matches('/');
        let key = || if key.is_empty() { url.to_owned() } else { format!("{url}/{key}") };
        match self.engine.run(call(Arc::clone(&self.client))) {
            Ok(outcome) => outcome.map_err(|error| failed(action, key(), error)),
            Err(source) => {
                Err(StoreError::Unavailable { action, key: key(), source: source.into() })
            }
        }
    }

    fn check_writing(&self) -> Result<(), StoreError> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(StoreError::ReadOnly { path: self.url.clone() }),
        }
    }

    /// The keys that `list` finds, sorted.
    fn keys(
        &self,
        folder: &str,
        list: impl Fn(&dyn ObjectStore) -> BoxStream<'static, object_store::Result<ObjectMeta>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Vec<String>, StoreError> {
        let paths = self.run("list", folder, |client| async move {
            retried(|| collected(list(&*client))).await
        })?;
        let mut keys: Vec<String> = paths.iter().filter_map(|path| self.key_of(path)).collect();
        keys.sort_unstable();
        Ok(keys)
    }
}

impl Blobs for RemoteStore {
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.check_writing()?;
        let (path, payload) = (self.path(key), PutPayload::from(bytes.to_vec()));
        self.run("write", key, |client| create(client, path, payload))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(key);
        self.run("read", key, |client| async move {
            retried(|| read(&*client, &path, GetOptions::default())).await
        })
    }

    fn get_start(&self, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(key);
        self.run("read", key, |client| async move {
            retried(|| read_start(&*client, &path, bytes_max as u64)).await
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folder = self.path(prefix);
        self.keys(prefix, move |client| client.list(Some(&folder)))
    }

    fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let (folder, from) = (self.path(prefix), self.path(after));
        let mut keys =
            self.keys(prefix, move |client| client.list_with_offset(Some(&folder), &from))?;
        // Stores differ in whether the offset itself belongs to the list.
        keys.drain(..keys.partition_point(|key| key.as_str() <= after));
        Ok(keys)
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.check_writing()?;
        let (path, payload) = (self.path(key), PutPayload::from(bytes.to_vec()));
        self.run("write", key, |client| async move {
            retried(|| put(&*client, &path, &payload, PutMode::Overwrite)).await
        })
    }

    fn publish(&self, staged: &str, key: &str) -> Result<(), StoreError> {
        let missing = |key: &str| StoreError::Missing { key: key.to_owned() };
        let bytes = self.get(staged)?.ok_or_else(|| missing(staged))?;
        if self.put_if_absent(key, &bytes)? == Put::Written {
            return Ok(());
        }
        if self.get(key)?.ok_or_else(|| missing(key))? == bytes {
            return Ok(());
        }
        Err(StoreError::damaged(key, format!("it is not the file staged as `{staged}`")))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.check_writing()?;
        let path = self.path(key);
        self.run("delete", key, |client| async move {
            retried(|| async {
                match answered(client.delete(&path)).await {
                    Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            })
            .await
        })
    }

    /// What an object store shows is durable.
    fn sync(&self, _prefix: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A conditional put whose answer is certain in the end, or an error.
async fn create(
    client: Arc<dyn ObjectStore>,
    path: Path,
    payload: PutPayload,
) -> object_store::Result<Put> {
    let mut attempts = Attempts::start();
    let mut answer_lost = false;
    loop {
        let error = match put(&*client, &path, &payload, PutMode::Create).await {
            Ok(()) => return Ok(Put::Written),
            Err(error @ Error::AlreadyExists { .. }) => {
                match retried(|| read(&*client, &path, GetOptions::default())).await? {
                    Some(standing) if answer_lost && is_same(&standing, &payload) => {
                        return Ok(Put::Written);
                    }
                    Some(_) => return Ok(Put::Taken),
                    // S3 answers 409 while puts of one key contend; none of them need win.
                    None => attempts::contended(error),
                }
            }
            Err(error) => {
                answer_lost = true;
                error
            }
        };
        attempts.wait_after(error).await?;
    }
}

fn is_same(standing: &[u8], payload: &PutPayload) -> bool {
    let mut rest = standing;
    let is_next = |chunk: &bytes::Bytes| match rest.split_at_checked(chunk.len()) {
        Some((start, end)) if start == chunk.as_ref() => {
            rest = end;
            true
        }
        _ => false,
    };
    standing.len() == payload.content_length() && payload.iter().all(is_next)
}

async fn put(
    client: &dyn ObjectStore,
    path: &Path,
    payload: &PutPayload,
    mode: PutMode,
) -> object_store::Result<()> {
    let limit = upload_limit(payload.content_length());
    answered_within(limit, client.put_opts(path, payload.clone(), mode.into())).await.map(|_| ())
}

async fn read(
    client: &dyn ObjectStore,
    path: &Path,
    options: GetOptions,
) -> object_store::Result<Option<Vec<u8>>> {
    let found = match answered(client.get_opts(path, options)).await {
        Err(Error::NotFound { .. }) => return Ok(None),
        found => found?,
    };
    let mut bytes = Vec::with_capacity((found.range.end - found.range.start) as usize);
    let mut stream = found.into_stream();
    while let Some(chunk) = answered(stream.try_next()).await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

async fn read_start(
    client: &dyn ObjectStore,
    path: &Path,
    bytes_max: u64,
) -> object_store::Result<Option<Vec<u8>>> {
    let range = Some(GetRange::Bounded(0..bytes_max.max(1)));
    let outcome = read(client, path, GetOptions { range, ..GetOptions::default() }).await;
    match outcome {
        Ok(start) => Ok(start.map(|mut bytes| {
            bytes.truncate(bytes_max as usize);
            bytes
        })),
        // No range of an empty object can be satisfied.
        Err(error) if !attempts::is_transient(&error) => match answered(client.head(path)).await {
            Ok(meta) if meta.size == 0 => Ok(Some(Vec::new())),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

async fn collected(
    mut list: BoxStream<'static, object_store::Result<ObjectMeta>>,
) -> object_store::Result<Vec<Path>> {
    let mut paths = Vec::new();
    while let Some(meta) = answered(list.try_next()).await? {
        paths.push(meta.location);
    }
    Ok(paths)
}

fn failed(action: &'static str, key: String, error: Error) -> StoreError {
    let is_transient = attempts::is_transient(&error);
    let source = Box::new(error);
    if is_transient {
        StoreError::Unavailable { action, key, source }
    } else {
        StoreError::Refused { action, key, source }
    }
}
