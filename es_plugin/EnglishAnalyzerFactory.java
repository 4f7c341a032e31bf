package msmctl.analysis;

import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.AnalyzerFactory;

/**
 * The analyzer type {@code english} for nodes that come without the analysis-common module.
 *
 * <p>It is Lucene's own {@link EnglishAnalyzer} from the server's lib folder, the same class with the same
 * stop words that the full distribution's {@code english} uses, so that a mapping works on both unchanged.
 */
@NamedComponent("english")
public class EnglishAnalyzerFactory implements AnalyzerFactory {

    @Override
    public String name() {
        return "english";
    }

    @Override
    public Analyzer create() {
        return new EnglishAnalyzer();
    }
}
