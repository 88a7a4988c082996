//! The local cloud: the whole pipeline on one machine, without an AWS account.
//!
//! A gateway on one port of 127.0.0.1 speaks AWS's wire protocols. Behind it stand our own engines for
//! what no emulator executes (CodePipeline, CodeBuild, CodeDeploy, Lambda, EventBridge, CloudWatch,
//! CloudFormation) and an existing emulator, moto, for the rest. It reads the project's `template.yaml`:
//! functions, rules, queues and permissions are listed there and nowhere else.
//!
//! It is a tool for trying and testing. It binds to loopback only, and it is no way to production.

pub mod authorise;
pub mod cloud;
pub mod console;
pub mod demo;
pub mod faults;
pub mod functions;
pub mod gateway;
pub mod inbox;
pub mod install;
pub mod moto;
pub mod paths;
pub mod running;
pub mod sample;
pub mod storage;
pub mod tools;
