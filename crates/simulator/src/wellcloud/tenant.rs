//! The tenant: what its addresses answer, and its dialler's hours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_multipart::Multipart;
use actix_web::{
    error::PayloadError,
    http::{
        Method,
        header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    },
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    dial::{Dialler, Roster},
    result::{Batch, MAX_RESULTS},
    roster::{Entry, read_file, read_json},
    upload::{Received, Upload, UploadForm},
};
use crate::{
    clock::Clock,
    config::WellcloudSettings,
    dice::Dice,
    faults::{FaultBoard, Vendor},
    http::{Call, Reply},
    push::Pusher,
    stats::{Counter, ServerCounters, VendorStats},
    tokens::Tokens,
};

/// Uploads kept, refused ones too; then the tenant is full and answers 500.
const MAX_UPLOADS: usize = 10_000;
/// Entries kept, those of refused uploads too; then the tenant is full and answers 500.
const MAX_ENTRIES: usize = 2_000_000;
/// File name endings of a roster (WellCloud contract 1).
const FILE_ENDINGS: [&str; 3] = [".txt", ".csv", ".dat"];

/// One WellCloud tenant.
pub(crate) struct Tenant {
    pub(crate) pusher: Arc<Pusher>,
    settings: Arc<WellcloudSettings>,
    seed: u64,
    clock: Clock,
    faults: Arc<FaultBoard>,
    tokens: Tokens,
    counters: ServerCounters,
    tokens_issued: Counter,
    book: Mutex<Book>,
}

struct Book {
    uploads: Vec<Received>,
    /// Entries of all these uploads.
    kept_entries: usize,
    /// Uploads taken.
    taken: usize,
    /// Entries of those.
    entries: usize,
    dialler: Dialler,
}

/// A refusal: the status that the documents give, and the reason for whoever reads it.
type Refusal = (u16, String);

impl Tenant {
    /// A tenant without rosters.
    pub(crate) fn new(settings: WellcloudSettings, seed: u64, clock: Clock, faults: Arc<FaultBoard>) -> Self {
        let dialler = Dialler::new(seed, settings.dialled_share);
        // No retry is documented, so there is none; 200 is what is answered when all is well.
        let accepts = |status: u16, _: &[u8]| status == 200;
        Self {
            pusher: Arc::new(Pusher::new(Vendor::Wellcloud, settings.push_url.clone(), Vec::new(), accepts)),
            settings: Arc::new(settings),
            seed,
            clock,
            faults,
            tokens: Tokens::default(),
            counters: ServerCounters::default(),
            tokens_issued: Counter::default(),
            book: Mutex::new(Book { uploads: Vec::new(), kept_entries: 0, taken: 0, entries: 0, dialler }),
        }
    }

    /// Everything but the pushes.
    pub(crate) fn stats(&self) -> VendorStats {
        let book = self.lock();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        VendorStats {
            uploads: count(book.uploads.len()),
            uploads_taken: count(book.taken),
            entries: count(book.entries),
            waiting: count(book.dialler.waiting()),
            records: count(book.dialler.results()),
            held: count(book.dialler.held()),
            ..self.counters.read()
        }
    }

    /// Every upload kept, oldest first.
    pub(crate) fn uploads(&self) -> Vec<Upload> {
        self.lock().uploads.iter().map(Received::show).collect()
    }

    /// Lets the fetched tokens expire.
    pub(crate) fn expire_tokens(&self) {
        self.tokens.expire_all();
    }

    /// Ends the hour: queues its results and dials again. Without a push URL nothing happens.
    pub(crate) fn close_hour(&self) -> usize {
        if !self.pusher.has_url() {
            return 0;
        }
        let mut rows = self.lock().dialler.end_hour(self.clock.now_ms());
        let queued = rows.len();
        let faults = self.faults.of_pushes(Vendor::Wellcloud);
        if faults.reorder_pushes {
            rows.reverse();
        }
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(MAX_RESULTS));
            let batch = Arc::new(Batch::new(rows, self.settings.clone(), faults.broken_rows));
            self.pusher.push(batch.clone());
            if faults.duplicate_pushes {
                self.pusher.push(batch);
            }
            rows = rest;
        }
        queued
    }

    /// `POST …/apply/token` (WellCloud public docs).
    pub(crate) fn answer_token(&self, call: &Call, instead: Option<Reply>) -> Reply {
        self.counters.token_fetches.bump();
        let reply = instead.map_or_else(|| self.issue_token(call), Err);
        reply.unwrap_or_else(|refusal| {
            self.counters.token_refusals.bump();
            refusal
        })
    }

    fn issue_token(&self, call: &Call) -> Result<Reply, Reply> {
        if call.method != Method::POST {
            return Err(Reply::text(405, "POST expected"));
        }
        if !is_utf8_json(call) || call.parameter("type") != Some("tenant") {
            return Err(Reply::text(500, "application/json;charset=utf-8 and type=tenant expected"));
        }
        let named = (call.parameter("appId"), call.parameter("appSecret"));
        if named != (Some(self.settings.app_id.as_str()), Some(self.settings.app_secret.as_str())) {
            return Err(Reply::text(425, "appId or appSecret is wrong"));
        }
        self.tokens_issued.bump();
        let number = self.tokens_issued.get().to_string();
        let token = Dice::new(self.seed, &["wellcloud token", &number]).digits(8);
        self.tokens.issue(token.clone(), self.clock.now_ms());
        Ok(Reply::json(200, format!(r#"{{"token":"{token}"}}"#)))
    }

    /// `POST /ocm/fileupload?activity_id=…` (WellCloud contract 1).
    pub(crate) async fn answer_file(&self, call: &Call, instead: Option<Reply>) -> Reply {
        if let Err(reply) = self.authenticate(call) {
            return reply;
        }
        let campaign = call.parameter("activity_id").unwrap_or_default().to_owned();
        let (bytes, entries) = match self.read_form(call).await {
            Ok(file) => (file.len(), read_file(&file).map_err(|reason| (500, reason))),
            Err(refusal) => (call.body.len(), Err(refusal)),
        };
        self.receive(call, UploadForm::File, campaign, bytes, entries, instead)
    }

    /// `POST /ocm/v1/rosterinfo/create/{activityId}` (WellCloud contract 2).
    pub(crate) fn answer_json(&self, call: &Call, instead: Option<Reply>) -> Reply {
        if let Err(reply) = self.authenticate(call) {
            return reply;
        }
        let entries = if is_utf8_json(call) {
            read_json(&call.body).map_err(|reason| (400, reason))
        } else {
            Err((500, "application/json;charset=utf-8 expected".to_owned()))
        };
        self.receive(call, UploadForm::Json, call.tail.clone(), call.body.len(), entries, instead)
    }

    /// The bare token, no scheme word. None: 403; a wrong or expired one: 401 (WellCloud public docs).
    fn authenticate(&self, call: &Call) -> Result<(), Reply> {
        let refused = |status, reason: &str| {
            self.counters.unauthenticated.bump();
            Err(Reply::text(status, reason))
        };
        let Some(token) = call.authorization.as_deref().filter(|token| !token.is_empty()) else {
            return refused(403, "no token");
        };
        let is_fixed = self.settings.fixed_token.as_deref() == Some(token);
        if !is_fixed && !self.tokens.is_good(token, self.clock.now_ms()) {
            return refused(401, "the token is wrong or expired");
        }
        if self.faults.rejects_token(Vendor::Wellcloud, &call.path) {
            return refused(401, "fault on demand");
        }
        Ok(())
    }

    /// The one file of the form.
    async fn read_form(&self, call: &Call) -> Result<Bytes, Refusal> {
        let refuse = |reason: &str| (500, reason.to_owned());
        if call.too_large {
            return Err(refuse("the file is over 10 MB"));
        }
        let content_type = call.content_type.as_deref().unwrap_or_default();
        let content_type =
            HeaderValue::from_str(content_type).map_err(|_| refuse("the content type is none"))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type);
        let body = stream::iter([Ok::<_, PayloadError>(call.body.clone())]);
        let mut form = Multipart::new(&headers, body);
        let mut file = None;
        while let Some(field) = form.next().await {
            let mut field = field.map_err(|_| refuse("multipart/form-data expected"))?;
            let disposition = field.content_disposition();
            let Some(name) = disposition.and_then(|header| header.get_filename()).map(str::to_lowercase)
            else {
                return Err(refuse("a part without a file name"));
            };
            if !FILE_ENDINGS.iter().any(|ending| name.ends_with(ending)) || file.is_some() {
                return Err(refuse("one file .txt, .csv or .dat expected"));
            }
            let mut bytes = Vec::new();
            while let Some(chunk) = field.try_next().await.map_err(|_| refuse("the form is cut"))? {
                bytes.extend_from_slice(&chunk);
            }
            file = Some(bytes);
        }
        let file = file.ok_or_else(|| refuse("the form holds no file"))?;
        if file.len() > self.settings.max_file_bytes {
            return Err(refuse("the file is over 10 MB"));
        }
        Ok(Bytes::from(file))
    }

    /// Keeps the upload and, unless it is refused or a fault answers instead, starts dialling.
    fn receive(
        &self,
        call: &Call,
        form: UploadForm,
        campaign: String,
        bytes: usize,
        entries: Result<Vec<Entry>, Refusal>,
        instead: Option<Reply>,
    ) -> Reply {
        let mut book = self.lock();
        let entries = entries.and_then(|entries| match book.has_room_for(entries.len()) {
            true => Ok(entries),
            false => Err((500, "the tenant is full".to_owned())),
        });
        let refusal = if call.method != Method::POST {
            Some((405, "POST expected".to_owned()))
        } else if campaign.is_empty() {
            Some((404, "no activity id".to_owned()))
        } else {
            entries.as_ref().err().cloned()
        };
        let entries = Arc::new(entries.unwrap_or_default());
        let taken = instead.is_none() && refusal.is_none();
        if taken {
            book.take(campaign.clone(), entries.clone(), self.clock.now_ms());
        }
        let reply = match (instead, refusal) {
            (Some(reply), _) => reply,
            (None, Some((status, reason))) => Reply::text(status, reason),
            // The body of an answer is not specified, so it is nothing that could be parsed by mistake.
            (None, None) => Reply::text(200, "success"),
        };
        book.keep(Received { form, campaign, bytes, status: reply.status, taken, entries });
        reply
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn take(&mut self, campaign: String, entries: Arc<Vec<Entry>>, now_ms: i64) {
        self.taken += 1;
        self.entries += entries.len();
        let roster = Arc::new(Roster::new(campaign, entries, self.taken, now_ms));
        self.dialler.start(&roster, now_ms);
    }

    fn has_room_for(&self, entries: usize) -> bool {
        self.uploads.len() < MAX_UPLOADS && self.kept_entries + entries <= MAX_ENTRIES
    }

    fn keep(&mut self, upload: Received) {
        if self.uploads.len() < MAX_UPLOADS {
            self.kept_entries += upload.entries.len();
            self.uploads.push(upload);
        }
    }
}

/// `application/json;charset=utf-8`, spaces and case aside.
fn is_utf8_json(call: &Call) -> bool {
    let named = call.content_type.as_deref().unwrap_or_default();
    let squeezed: String = named.chars().filter(|character| !character.is_whitespace()).collect();
    squeezed.eq_ignore_ascii_case("application/json;charset=utf-8")
}
