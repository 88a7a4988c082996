//! What Signalbox decides, and nothing else.
//!
//! Every function of the control plane has the shape *parse → gather → decide → execute*; this crate
//! is *decide*. It is synchronous and total, takes the time and the facts as arguments, and answers
//! with an imperative (`Start`, `Hold`, `StopDeployment`) that carries its reason. It cannot name tokio
//! or AWS: its `Cargo.toml` has neither.

pub mod approval;
pub mod claim;
pub mod names;
pub mod notice;
pub mod package;
pub mod rollback;
pub mod start;
pub mod sweep;
pub mod text;
pub mod timeline;
pub mod validation;
