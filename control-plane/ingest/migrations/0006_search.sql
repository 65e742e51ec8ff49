-- Searches for a part of a text, in any case: three characters each, so that parts of words are found, too.
ALTER TABLE sallyport.command_rows ADD INDEX IF NOT EXISTS text_grams lowerUTF8(text) TYPE ngrambf_v1(3, 65536, 2, 0) GRANULARITY 1;

-- What is there already is indexed in the background; until then it is read.
ALTER TABLE sallyport.command_rows MATERIALIZE INDEX text_grams;
