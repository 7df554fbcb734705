// A video file → 8 frames → vector → the nearest of ten phrases, with Core ML. iOS 17, Swift 5.9.
//
// WRITTEN, NEVER COMPILED: there was no Mac where this was made. The model it loads was checked by computing its
// operators with torch, not by Core ML. The contract is that of the card beside the package (mobileviclip-nano here).
//
//     vidsearch models export mobileviclip-nano --to coreml --towers clip --precision fp16 -o exported
//
//     python examples/mobile/phrases.py mobileviclip-nano > phrases.json
//
// Add both to the target; Xcode compiles the package to mobileviclip-nano-clip-fp16.mlmodelc.

import AVFoundation
import CoreML

struct Phrase: Decodable {
    let phrase: String
    let vector: [Float]
}

enum SearchError: Error {
    case missing(String)
    case noPixels
}

final class NearestPhrase {
    static let frames = 8, side = 64
    static let mean: [Float] = [0.5, 0.5, 0.5], std: [Float] = [0.25, 0.25, 0.25]
    private let model: MLModel
    private let phrases: [Phrase]

    init() throws {
        guard let modelURL = Bundle.main.url(forResource: "mobileviclip-nano-clip-fp16", withExtension: "mlmodelc"),
              let phrasesURL = Bundle.main.url(forResource: "phrases", withExtension: "json")
        else { throw SearchError.missing("model or phrases.json") }
        let configuration = MLModelConfiguration()
        configuration.computeUnits = .all  // chosen here: the package does not store it
        model = try MLModel(contentsOf: modelURL, configuration: configuration)
        phrases = try JSONDecoder().decode([Phrase].self, from: Data(contentsOf: phrasesURL))
    }

    func nearest(to video: URL) async throws -> (phrase: String, cosine: Float) {
        let input = try MLDictionaryFeatureProvider(dictionary: ["clip": try await clip(of: video)])
        guard let vector = try await model.prediction(from: input).featureValue(for: "vector")?.multiArrayValue
        else { throw SearchError.missing("vector") }
        let scored = phrases.map { phrase -> (String, Float) in
            let cosine = phrase.vector.indices.reduce(Float(0)) { $0 + phrase.vector[$1] * vector[$1].floatValue }
            return (phrase.phrase, cosine)
        }
        guard let best = scored.max(by: { $0.1 < $1.1 }) else { throw SearchError.missing("phrases") }
        return best
    }

    /// (8, 3, 64, 64): frame i lies at (i + 0.5) / 8 of the video.
    private func clip(of video: URL) async throws -> MLMultiArray {
        let asset = AVURLAsset(url: video)
        let duration = try await asset.load(.duration).seconds
        let generator = AVAssetImageGenerator(asset: asset)
        generator.appliesPreferredTrackTransform = true
        generator.requestedTimeToleranceBefore = .zero
        generator.requestedTimeToleranceAfter = .zero
        let side = Self.side, plane = side * side
        let array = try MLMultiArray(shape: [8, 3, 64, 64], dataType: .float32)
        let values = array.dataPointer.bindMemory(to: Float.self, capacity: array.count)
        for frame in 0..<Self.frames {
            let seconds = (Double(frame) + 0.5) / Double(Self.frames) * duration
            let image = try await generator.image(at: CMTime(seconds: seconds, preferredTimescale: 90_000)).image
            let pixels = try rgba(image)
            for channel in 0..<3 {
                for place in 0..<plane {
                    let value = Float(pixels[place * 4 + channel]) / 255
                    values[(frame * 3 + channel) * plane + place] = (value - Self.mean[channel]) / Self.std[channel]
                }
            }
        }
        return array
    }

    /// The picture squashed to 64 x 64, four bytes a pixel.
    private func rgba(_ image: CGImage) throws -> [UInt8] {
        let side = Self.side
        var pixels = [UInt8](repeating: 0, count: side * side * 4)
        let drawn = pixels.withUnsafeMutableBytes { buffer -> Bool in
            guard let context = CGContext(
                data: buffer.baseAddress, width: side, height: side, bitsPerComponent: 8, bytesPerRow: side * 4,
                space: CGColorSpaceCreateDeviceRGB(), bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return false }
            context.interpolationQuality = .high
            context.draw(image, in: CGRect(x: 0, y: 0, width: side, height: side))
            return true
        }
        guard drawn else { throw SearchError.noPixels }
        return pixels
    }
}
