//! Whole replays in small: deployments in folders, mail in files.
