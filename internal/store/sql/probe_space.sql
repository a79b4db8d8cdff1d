-- Writes a mebibyte to the disk, as a temporary file: an update alone may find room
-- in a page that is there already.
select count(*) from unnest(array_fill(repeat('x', 8192), array[128]))
