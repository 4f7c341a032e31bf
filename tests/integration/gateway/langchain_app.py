"""What a user of langchain-elasticsearch writes; run in an environment of its own by test_langchain.py.

    python langchain_app.py URL USER INDEX < PASSWORD

Prints, as JSON, what a hybrid search finds, and what one with a filter finds.
"""

import json
import sys

from elasticsearch import Elasticsearch
from langchain_core.embeddings import Embeddings
from langchain_elasticsearch import DenseVectorStrategy, ElasticsearchStore

TEXTS = ["banana and mango", "eel soup", "oolong tea", "a cow on a moor", "three green trees"]


class Letters(Embeddings):
    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [text.count(letter) + 0.1 for letter in "aeo"]


url, user, index = sys.argv[1:]
client = Elasticsearch(url, basic_auth=(user, sys.stdin.read().strip()))
store = ElasticsearchStore(
    index_name=index,
    embedding=Letters(),
    client=client,
    strategy=DenseVectorStrategy(hybrid=True, text_field="text"),
)
store.add_texts(TEXTS, metadatas=[{"n": n} for n in range(len(TEXTS))])
found = store.similarity_search("green trees", k=3)
filtered = store.similarity_search("green trees", k=3, filter=[{"range": {"metadata.n": {"lt": 2}}}])
print(
    json.dumps(
        {
            "found": [document.page_content for document in found],
            "filtered": sorted(document.page_content for document in filtered),
        }
    )
)
