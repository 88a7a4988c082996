//! codedeploy.
