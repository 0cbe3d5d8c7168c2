//! Call records: from the store or forwarded to the vendor.
