//! One error type. The numbers are `onnxlocal_status` of the header.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    Ok = 0,
    InvalidRequest = 1,
    ModelCorrupt = 2,
    Unsupported = 3,
    TooLarge = 4,
    Internal = 5,
    Overloaded = 6,
}

#[derive(Clone, Debug)]
pub struct TextError {
    pub status: Status,
    pub message: String,
}

impl TextError {
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Status::InvalidRequest, message)
    }

    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Status::ModelCorrupt, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Status::Internal, message)
    }
}

pub type Result<T> = std::result::Result<T, TextError>;
