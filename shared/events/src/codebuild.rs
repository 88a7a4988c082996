//! codebuild.
