//! The approval page and its POST.
//!
//! A Lambda function URL without authentication: the signed link is the credential. `GET` and `HEAD`
//! render, only `POST` decides, since mail scanners and link previews fetch every link. This function calls
//! `PutApprovalResult` for a person on the list who was asked about this very
//! run, from a form that this function rendered, and it records every attempt before it acts.
//!
//! What is never logged: the path (it holds the link), cookies, form values, CodePipeline's token.

mod app;
mod attempt;
mod ballot;
mod effects;
mod error;
mod gather;
mod handler;
mod http;
mod origin;
mod page;
mod secret;
mod slack;
mod slack_message;
mod style;

fn main() -> std::process::ExitCode {
    signalbox_bootstrap::run(app::App::start, handler::handle)
}
