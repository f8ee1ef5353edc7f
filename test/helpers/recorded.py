"""What a Rerun recording holds, by Rerun's own reader."""

import pyarrow as pa


def logged(chunks):
    """Return {entity: a mapping of columns for each row}; times are nanoseconds."""
    found = {}
    for chunk in chunks:
        batch = chunk.to_record_batch()
        # datetime holds microseconds only.
        whole = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in batch.columns]
        table = pa.table(whole, names=batch.schema.names)
        found.setdefault(chunk.entity_path, []).extend(table.to_pylist())
    return found


def rows(of_entity, column):
    """Return a column's values by frame, of the frames that have one."""
    return {row["frame"]: row[column] for row in of_entity if row.get(column) is not None}
