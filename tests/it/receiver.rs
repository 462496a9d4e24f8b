//! Receivers of messages about alerts: over HTTP and by mail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a receiver does with the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It answers with this status.
    Answer(u16),
    /// It answers with this status and `Retry-After`.
    Later(u16, &'static str),
    /// It answers with a redirect to another place.
    Redirect(String),
    /// It reads the request and never answers.
    Hang,
    /// It never ends its answer.
    Endless,
}

/// A request that a receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the answer was a success.
    pub(crate) is_accepted: bool,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An HTTP server that records what it gets, and behaves as planned: first with one behaviour for each request, then always with the same one.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    planned: Arc<Mutex<VecDeque<Behaviour>>>,
    always: Arc<Mutex<Behaviour>>,
    _server: Arc<JoinSet<()>>,
}

impl Receiver {
    pub(crate) async fn start(always: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        let mut receiver = Self {
            url,
            received: Arc::default(),
            planned: Arc::default(),
            always: Arc::new(Mutex::new(always)),
            _server: Arc::default(),
        };
        let app = Router::new().fallback(take).with_state(receiver.clone());
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        receiver._server = Arc::new(server);
        receiver
    }

    pub(crate) fn plan(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.planned.lock().unwrap().extend(behaviours);
    }

    /// Forgets one planned behaviour. Returns whether there was one.
    pub(crate) fn unplan(&self) -> bool {
        self.planned.lock().unwrap().pop_front().is_some()
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn accepted(&self) -> Vec<Received> {
        let mut all = self.received();
        all.retain(|one| one.is_accepted);
        all
    }
}

async fn take(
    State(receiver): State<Receiver>,
    _uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let planned = receiver.planned.lock().unwrap().pop_front();
    let behaviour = planned.unwrap_or_else(|| receiver.always.lock().unwrap().clone());
    let is_accepted = matches!(behaviour, Behaviour::Answer(200..=299) | Behaviour::Endless);
    let received = Received {
        headers,
        body,
        is_accepted,
    };
    receiver.received.lock().unwrap().push(received);
    match behaviour {
        Behaviour::Answer(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Behaviour::Later(status, wait) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("retry-after", wait)]).into_response()
        }
        Behaviour::Redirect(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response()
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Endless => {
            let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1_024]));
            let body = futures_util::stream::repeat_with(chunk);
            axum::body::Body::from_stream(body).into_response()
        }
    }
}

/// A mail server without TLS, which refuses the first letters and takes the others.
pub(crate) struct MailServer {
    pub(crate) url: String,
    letters: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl MailServer {
    pub(crate) async fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let letters: Arc<Mutex<Vec<String>>> = Arc::default();
        let taken = Arc::clone(&letters);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut refusals = refusals;
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                if let Some(letter) = take_letter(connection, &mut refusals).await {
                    taken.lock().unwrap().push(letter);
                }
            }
        });
        Self {
            url,
            letters,
            _server: server,
        }
    }

    pub(crate) fn letters(&self) -> Vec<String> {
        self.letters.lock().unwrap().clone()
    }
}

/// One conversation of SMTP. Gives the envelope and the letter as they were sent.
async fn take_letter(connection: TcpStream, refusals: &mut usize) -> Option<String> {
    let (read, mut write) = connection.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut letter = String::new();
    let mut is_data = false;
    write.write_all(b"220 mail.test\r\n").await.ok()?;
    while let Ok(Some(line)) = lines.next_line().await {
        let word = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_uppercase();
        let answer = match (is_data, word.as_str()) {
            (true, ".") => {
                is_data = false;
                "250 taken"
            }
            (true, _) => {
                letter.extend([line.as_str(), "\n"]);
                continue;
            }
            (false, "MAIL") if *refusals > 0 => {
                *refusals -= 1;
                return write
                    .write_all(b"451 later\r\n")
                    .await
                    .err()
                    .map(|_| letter);
            }
            (false, "MAIL" | "RCPT") => {
                letter.extend([line.as_str(), "\n"]);
                "250 ok"
            }
            (false, "DATA") => {
                is_data = true;
                "354 go on"
            }
            (false, "QUIT") => "221 bye",
            (false, _) => "250 mail.test",
        };
        write
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .ok()?;
    }
    (!letter.is_empty()).then_some(letter)
}
