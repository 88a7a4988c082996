//! codepipeline.
