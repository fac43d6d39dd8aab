//! The two web layers: index pages, and metadata with the gateway.

use std::collections::HashMap;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::Arc;

use anyhow::Context;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::files::{self, File};
use super::{Never, pages, ready};
use crate::content::Source;
use crate::dag::{Dag, Store};
use crate::torrent::Torrent;

/// What the index layer is to serve.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IndexAssignment {
    pub(crate) items: Vec<IndexItem>,
    pub(crate) tracker: SocketAddrV4,
}

/// One item as the index shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IndexItem {
    pub(crate) name: String,
    pub(crate) info_hash: String,
    /// Bytes.
    pub(crate) size: u64,
}

/// What the metadata layer is to serve.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetadataAssignment {
    pub(crate) torrents: Vec<Torrent>,
    pub(crate) tracker: SocketAddrV4,
    /// What the content is computed from.
    pub(crate) seed: u64,
    /// What the gateway has.
    pub(crate) dags: Vec<Dag>,
}

/// Documents that are made once and then served from memory, by the last part of their path.
type Shelf = Arc<HashMap<String, Document>>;

#[derive(Clone)]
struct Document {
    kind: &'static str,
    bytes: Bytes,
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, self.kind)], self.bytes).into_response()
    }
}

/// `/content/{name}`, `/assets/{name}`, and on every other path a small page, or an answer to what is posted there: which paths get side
/// traffic is the scenario's business.
pub(super) fn index(assignment: &IndexAssignment) -> anyhow::Result<Never> {
    let contents = assignment.items.iter().map(|item| {
        let page = pages::landing(item, &assignment.items, assignment.tracker);
        (item.name.clone(), Document { kind: "text/html; charset=utf-8", bytes: page.into() })
    });
    let assets = pages::ASSETS.iter().map(|asset| {
        let document = Document { kind: asset.kind, bytes: pages::asset(asset).into() };
        (asset.name.to_owned(), document)
    });
    let side = Document { kind: "text/html; charset=utf-8", bytes: pages::side().into() };
    let router = Router::new()
        .route("/content/{name}", get(document).with_state(Arc::new(contents.collect())))
        .route("/assets/{name}", get(document).with_state(Arc::new(assets.collect())))
        .fallback(get(move || async { side }).post(call));
    serve(listen()?, router)
}

/// `/torrents/{name}.torrent`, `/files/{name}` as a web seed, and `/ipfs/{cid}` as a trustless gateway.
pub(super) fn metadata(assignment: MetadataAssignment) -> anyhow::Result<Never> {
    let listener = listen()?;
    let web_seed = format!("http://{}/files/", listener.local_addr()?);
    let (mut torrents, mut files) = (HashMap::new(), HashMap::new());
    for torrent in assignment.torrents {
        let url_list = torrent.web_seed.then_some(web_seed.as_str());
        let bytes = torrent.file(assignment.tracker, url_list)?.into();
        torrents.insert(
            format!("{}.torrent", torrent.name),
            Document { kind: "application/x-bittorrent", bytes },
        );
        if torrent.web_seed {
            let source = Source::new(assignment.seed, &torrent.name);
            files.insert(torrent.name, File { source, size: torrent.size });
        }
    }
    let store = Arc::new(Store::new(assignment.seed, &assignment.dags));
    let router = Router::new()
        .route("/torrents/{name}", get(document).with_state(Arc::new(torrents)))
        .route("/files/{name}", get(files::file).with_state(Arc::new(files)))
        .route("/ipfs/{cid}", get(dag).with_state(store));
    serve(listener, router)
}

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=y";

/// A block or a CAR of all that is below it (<https://specs.ipfs.tech/http-gateways/trustless-gateway/>): what is asked for in the query,
/// else in `Accept`, else nothing.
async fn dag(
    State(store): State<Arc<Store>>,
    Path(cid): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    let query = query.unwrap_or_default();
    let format = query.split('&').find_map(|pair| pair.strip_prefix("format="));
    let accepts = |kind: &str| {
        headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|it| it.contains(kind))
    };
    let (kind, bytes) = match format {
        Some("raw") => (RAW, store.block(&cid)),
        Some("car") => (CAR, store.car(&cid)),
        None if accepts("application/vnd.ipld.raw") => (RAW, store.block(&cid)),
        None if accepts("application/vnd.ipld.car") => (CAR, store.car(&cid)),
        _ => return Err(StatusCode::NOT_ACCEPTABLE),
    };
    let bytes = bytes.ok_or(StatusCode::NOT_FOUND)?;
    let fields = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CACHE_CONTROL, "public, max-age=29030400, immutable".to_owned()),
        (header::ETAG, format!("\"{cid}.{}\"", if kind == RAW { "raw" } else { "car" })),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((fields, bytes).into_response())
}

/// Answers a call as JSON-RPC 2.0 does (a wallet, an RPC gateway), and any other JSON (a login, a search) with what it was sent.
async fn call(Json(sent): Json<Value>) -> Json<Value> {
    Json(match sent.get("jsonrpc") {
        Some(version) => json!({ "jsonrpc": version, "id": sent["id"], "result": { "ok": true } }),
        None => json!({ "ok": true, "sent": sent }),
    })
}

async fn document(State(shelf): State<Shelf>, Path(name): Path<String>) -> Result<Document, StatusCode> {
    shelf.get(&name).cloned().ok_or(StatusCode::NOT_FOUND)
}

fn listen() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// One thread serves tens of thousands of such requests a second; more would take cores from the generator.
#[tokio::main(flavor = "current_thread")]
async fn serve(listener: TcpListener, router: Router) -> anyhow::Result<Never> {
    ready(&[SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port())])?;
    let listener = tokio::net::TcpListener::from_std(listener).context("listening")?;
    axum::serve(listener, router).await.context("serving")?;
    pending().await
}
