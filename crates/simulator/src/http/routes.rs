//! Which address is whose, and the way of every request: faults, vendor, faults.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{Call, Reply, control};
use crate::{
    faults::{AnswerFault, Vendor, Verdict},
    world::World,
};

/// The vendors' documented addresses.
#[derive(Debug, Clone, Copy)]
enum Route {
    WellcloudToken,
    RosterFile,
    RosterJson,
    IcsocToken,
    CdrSearch,
}

const ROUTES: [(&str, Route); 5] = [
    ("/p/api/operation/operation/apply/token", Route::WellcloudToken),
    ("/ocm/fileupload", Route::RosterFile),
    ("/ocm/v1/rosterinfo/create/{tail}", Route::RosterJson),
    ("/oauth2/token", Route::IcsocToken),
    ("/api/v1/cdr/search", Route::CdrSearch),
];

/// Puts every address in place; what is none is answered 404.
pub(crate) fn mount(config: &mut web::ServiceConfig) {
    for (pattern, route) in ROUTES {
        config.route(
            pattern,
            web::to(move |request: HttpRequest, payload: web::Payload, world: web::Data<World>| {
                serve(route, request, payload, world.into_inner())
            }),
        );
    }
    config.route("/_sim/{tail}", web::to(serve_control));
    config.default_service(web::to(async || Reply::text(404, "no such address").into_response()));
}

async fn serve_control(request: HttpRequest, payload: web::Payload, world: web::Data<World>) -> HttpResponse {
    match Call::read(&request, payload).await {
        Some(call) => control::answer(&world.into_inner(), &call).into_response(),
        None => Reply::text(400, "the body ended too early").into_response(),
    }
}

async fn serve(route: Route, request: HttpRequest, payload: web::Payload, world: Arc<World>) -> HttpResponse {
    let Some(call) = Call::read(&request, payload).await else {
        return Reply::text(400, "the body ended too early").into_response();
    };
    let verdict = world.faults.judge(route.vendor(), &call.path);
    let reply = route.answer(&world, &call, &verdict).await;
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    match verdict.answer {
        Some(AnswerFault::Huge(bytes)) => reply.into_huge_response(bytes),
        Some(AnswerFault::Cut) => reply.into_cut_response(),
        Some(AnswerFault::HangUp) => reply.into_no_response(),
        _ => reply.into_response(),
    }
}

impl Route {
    fn vendor(self) -> Vendor {
        match self {
            Self::WellcloudToken | Self::RosterFile | Self::RosterJson => Vendor::Wellcloud,
            Self::IcsocToken | Self::CdrSearch => Vendor::Icsoc,
        }
    }

    async fn answer(self, world: &World, call: &Call, verdict: &Verdict) -> Reply {
        let instead = self.instead(verdict);
        match self {
            Self::WellcloudToken => world.wellcloud.answer_token(call, instead),
            Self::RosterFile => world.wellcloud.answer_file(call, instead).await,
            Self::RosterJson => world.wellcloud.answer_json(call, instead),
            Self::IcsocToken => world.icsoc.answer_token(call, instead),
            Self::CdrSearch => world.icsoc.answer_search(call, instead, verdict),
        }
    }

    /// The answer that a fault puts in the place of the vendor's.
    fn instead(self, verdict: &Verdict) -> Option<Reply> {
        match verdict.answer? {
            AnswerFault::Status(status) => Some(Reply::text(status, "fault on demand")),
            AnswerFault::Html => Some(Reply::html()),
            AnswerFault::Huge(_) => Some(Reply::text(200, "")),
            AnswerFault::Code(code) if self.vendor() == Vendor::Icsoc => {
                Some(Reply::json(200, format!(r#"{{"code":{code},"message":"系统繁忙","data":null}}"#)))
            }
            AnswerFault::Code(_) | AnswerFault::Cut | AnswerFault::HangUp => None,
        }
    }
}
