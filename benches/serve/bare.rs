//! hyper, answering every request with the same 302: what an HTTP server on this stack costs at least.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, SERVER, SET_COOKIE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::{LocalSet, spawn_local};

/// The argument that makes the bench this server; behind it the number of workers, and how they get connections.
pub(crate) const COMMAND: &str = "bare";

/// How workers get connections.
pub(crate) const WAYS: [&str; 2] = ["SO_REUSEPORT", "one shared socket"];

pub(crate) fn run(arguments: &[String]) {
    let workers: usize = arguments[0].parse().unwrap();
    let is_shared = arguments[1] == WAYS[1];
    let first = open("127.0.0.1:0".parse().unwrap());
    let address = first.local_addr().unwrap();
    let rest = (1..workers).map(|_| if is_shared { first.try_clone().unwrap() } else { open(address) });
    let listeners: Vec<_> = rest.collect();
    let threads: Vec<_> = std::iter::once(first)
        .chain(listeners)
        .enumerate()
        .map(|(index, listener)| std::thread::spawn(move || work(index, listener)))
        .collect();
    println!("listening {address}");
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn open(address: SocketAddr) -> std::net::TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(4096).unwrap();
    socket.into()
}

fn work(index: usize, listener: std::net::TcpListener) {
    let name = HeaderValue::from_str(&index.to_string()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let name = name.clone();
            spawn_local(async move {
                let service = service_fn(|request| answer(request, name.clone()));
                let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

/// As long as clicklog's own answer.
async fn answer(_: Request<Incoming>, worker: HeaderValue) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    let location = "https://offer.example.com/land?s2=4rzn539zkkg78yhbs1c1ge1fsc&zone=4821337";
    headers.insert(LOCATION, HeaderValue::from_static(location));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let cookie = "cl_cid=4rzn539zkkg78yhbs1c1ge1fsc; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax";
    headers.insert(SET_COOKIE, HeaderValue::from_static(cookie));
    headers.insert(SERVER, worker);
    Ok(response)
}
