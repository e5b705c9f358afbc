"""Files to one audited, split and prepared table: readers, index, audit, splits and the tf.data pipeline."""
